// The processes that elect each other while the store is away: by when which election must be led, and what they account for.
import { hostNow } from "./figures.ts";
import type { Footprint } from "./footprint.ts";
import { Member } from "./outage-member.ts";
import type { Account, CandidatesOptions } from "./outage-reports.ts";

export interface CrewOptions extends Omit<CandidatesOptions, "name" | "looksOn"> {
  readonly size: number;
  readonly name: string;
}

/** Processes that are all candidates in the same elections; the first one looks on, too. */
export class Crew implements AsyncDisposable {
  readonly #elections: readonly string[];
  readonly #members: readonly Member[];
  #news: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  private constructor({ size, ...options }: CrewOptions) {
    this.#elections = options.elections;
    const news = (): void => {
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    };
    this.#members = Array.from(
      { length: size },
      (_, index) =>
        new Member({ ...options, name: `${options.name}-${index + 1}`, looksOn: index === 0 }, news),
    );
  }

  /** Settles when they run; the store may be away. */
  static async muster(options: CrewOptions): Promise<Crew> {
    const crew = new Crew(options);
    await Promise.all(crew.#members.map(async (member) => member.ready()));
    return crew;
  }

  get problems(): readonly string[] {
    return this.#members.flatMap(({ problems }) => problems);
  }

  /**
   * Settles when every election is led, as confirmed by the store after `since`: with how long that took. If it is not
   * within the bound, with the elections that are not.
   */
  async lead(since: number, boundMs: number): Promise<number | readonly string[]> {
    return this.#all(({ leads }) => leads, since, boundMs);
  }

  /** The same for being shown a leader of each election. */
  async see(since: number, boundMs: number): Promise<number | readonly string[]> {
    return this.#all(({ sees }) => sees, since, boundMs);
  }

  async #all(
    whenOf: (member: Member) => ReadonlyMap<string, number>,
    since: number,
    boundMs: number,
  ): Promise<number | readonly string[]> {
    for (;;) {
      const missing = this.#elections.filter((election) =>
        this.#members.every((member) => (whenOf(member).get(election) ?? -Infinity) < since),
      );
      if (missing.length === 0) return hostNow() - since;
      const left = since + boundMs - hostNow();
      if (left <= 0) return missing;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, left)));
      await Promise.race([this.#news.promise, late]);
      clearTimeout(timer);
    }
  }

  /** In the order of the processes. */
  async weigh(): Promise<Footprint[]> {
    const weights = await Promise.all(this.#members.map(async (member) => member.weigh()));
    return weights.flatMap((weight) => weight ?? []);
  }

  /** Closes all of them; the sum of their accounts. */
  async close(): Promise<Account> {
    const accounts = await Promise.all(this.#members.map(async (member) => member.close()));
    const sum = (key: keyof Account): number =>
      accounts.reduce((total, account) => total + (account?.[key] ?? 0), 0);
    return {
      terms: sum("terms"),
      troubles: sum("troubles"),
      answered: sum("answered"),
      unreachable: sum("unreachable"),
      observed: sum("observed"),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#members.map(async (member) => member.kill()));
  }
}
