/** What the demo and its candidates say to each other. Instants are those of the host's clock, in ms. */

export type Order = { readonly kind: "campaign" } | { readonly kind: "resign" };

export type Report =
  | { readonly kind: "ready" }
  | { readonly kind: "elected"; readonly token: string; readonly at: number }
  /** The term is not valid any more. */
  | { readonly kind: "lost"; readonly token: string; readonly reason: string; readonly at: number }
  | { readonly kind: "failed"; readonly message: string; readonly exitCode: number };
