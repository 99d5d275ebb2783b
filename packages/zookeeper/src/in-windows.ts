/** So many claims under way at once. A proof that is sent meanwhile waits behind them, and must not wait long. */
const window = 128;

/** Works on all of them, a window full at a time; the answers come in their order. */
export async function inWindows<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = [];
  const rest = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of rest) answers[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(window, items.length) }, lane));
  return answers;
}
