/** One listening socket of the store. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A store that is reached over TCP: a proxy can stand in front of each of its endpoints. */
export interface FaultTarget {
  /** All endpoints that a client may connect to, in the order of the URL. */
  readonly endpoints: readonly Endpoint[];
  /** The URL with these endpoints in place of the store's own. */
  urlThrough(endpoints: readonly Endpoint[]): string;
  /** Whether a URL may name more than one endpoint, of which some may be dead. @default false */
  readonly takesSeveral?: boolean;
}

/** Takes a store's URL (`scheme://user:password@host:port,host:port/path?query`) apart; every port must be in it. */
export function networkFaults(url: string, options: Pick<FaultTarget, "takesSeveral"> = {}): FaultTarget {
  const parts = /^([a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?)([^/?#@]+)(.*)$/is.exec(url);
  const [, before, authority, after] = parts ?? [];
  if (before === undefined || authority === undefined || after === undefined) {
    throw new TypeError("networkFaults() needs a URL of the form scheme://host:port,host:port/…");
  }
  return {
    endpoints: authority.split(",").map(parseEndpoint),
    ...options,
    urlThrough: (endpoints) =>
      before + endpoints.map(({ host, port }) => `${host}:${port}`).join(",") + after,
  };
}

function parseEndpoint(text: string): Endpoint {
  const [, host, port] = /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(text) ?? [];
  if (host === undefined || port === undefined) {
    throw new TypeError(`networkFaults() needs the port of every host in the URL, and "${text}" has none`);
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}
