/** `@elect/cli` is a program, `elect`. Programs that start it may want its exit codes by name. */

export { exitCodes } from "./exit-codes.ts";
