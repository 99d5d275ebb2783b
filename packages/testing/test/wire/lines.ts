import type { Socket } from "node:net";

/** Calls `line` for each line. (Not `node:readline`, which takes U+2028 for the end of a line.) */
export function readLines(socket: Socket, line: (text: string) => void): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const each of lines) line(each);
  });
}
