/** One connection to one member of the cluster. It is used until the first failure, and then destroyed. */

import { RefusedError, type Call } from "@elect/core/adapter";
import {
  createDriver,
  type CallOptions,
  type Committed,
  type Driver,
  type GrpcCall,
  type Interceptor,
  type KeepAliveAnswer,
  type Status,
  type Transaction,
  type WatchAnswer,
  type WatchRequest,
} from "./client.ts";
import { meaningOf, saysNoAuthentication, saysNoLease } from "./errors.ts";
import type { Settings } from "./options.ts";
import { Sockets } from "./sockets.ts";

/** gRPC's own header for "how long may this take", relative: the member gives up by itself what waits in its queues. */
const timeoutHeader = "grpc-timeout";

/** gRPC's code for a call that its caller gave up. */
const cancelled = 1;

/**
 * By these words a member says that our token has run out, or is older than its list of users. The driver answers the
 * first by a retry of its own that never ends if the next token is no better: it must not see them.
 */
const staleToken = /invalid auth token|revision of auth store is old/;
const staleTokenToUs = "the auth token is stale";

/** What hears of a stream of watches. */
export interface WatchListener {
  heard(answer: WatchAnswer): void;
  ended(cause: Error): void;
}

export class Link {
  readonly member: string;
  readonly #driver: Driver;
  readonly #user: Settings["user"];
  readonly #over: (link: Link) => void;
  /** What is under way, to be cancelled with the link. */
  readonly #calls = new Set<GrpcCall>();
  readonly #sockets = new Sockets();
  /** How many calls wait for their answer. Only then does the link keep the process alive. */
  #waiting = 0;
  #failure: Error | null = null;
  #token: string | null = null;
  #loggingIn: Promise<void> | null = null;
  #cluster: string | null = null;
  #status: Status | null = null;

  constructor(member: string, settings: Settings, over: (link: Link) => void) {
    this.member = member;
    this.#driver = createDriver(member, settings);
    this.#user = settings.user;
    this.#over = over;
  }

  get usable(): boolean {
    return this.#failure === null;
  }

  /** Which cluster the member belongs to. */
  get cluster(): string {
    return this.#cluster ?? "";
  }

  get status(): Status | null {
    return this.#status;
  }

  /** Connects, logs in, and makes sure that the member is one to talk to. */
  async greet(call: Call): Promise<void> {
    await this.#sockets.within(() => this.#introduce(call));
  }

  async #introduce(call: Call): Promise<void> {
    await this.#logIn(call);
    const status = await this.#once((options) => this.#driver.maintenance.status(options), call);
    if (status.leader === "0" || status.isLearner) {
      throw new Error(
        `etcd at ${this.member} ${status.isLearner ? "is a learner" : "sees no leader of its cluster"}`,
      );
    }
    this.#cluster = status.header.cluster_id;
    this.#status = status;
  }

  async commit(transaction: Transaction, call: Call): Promise<Committed> {
    return this.#once(async (options) => {
      const committed = await this.#driver.kv.txn(transaction, options);
      // gRPC connects again by itself, and who knows to whom. Nothing was done there: our session is not known.
      if (committed.header.cluster_id === this.#cluster) return committed;
      throw new Error("another cluster answers behind the same address");
    }, call);
  }

  async grant(ttlSeconds: number, call: Call): Promise<{ readonly ID: string; readonly TTL: string }> {
    return this.#once((options) => this.#driver.leaseClient.leaseGrant({ TTL: ttlSeconds }, options), call);
  }

  /** Ends a lease. One that is not there has ended. */
  async revoke(lease: string, call: Call): Promise<void> {
    await this.#once(async (options) => {
      try {
        await this.#driver.leaseClient.leaseRevoke({ ID: lease }, options);
      } catch (error) {
        if (!saysNoLease(error)) throw error;
      }
    }, call);
  }

  /** One renewal, on a stream of its own: an answer can only be the answer to this one. */
  async keepAlive(lease: string, call: Call): Promise<KeepAliveAnswer> {
    return this.#once(async (options) => {
      const stream = await this.#driver.leaseClient.leaseKeepAlive(options);
      return new Promise<KeepAliveAnswer>((resolve, reject) => {
        stream.on("error", reject);
        stream.on("end", () => reject(new Error("the stream of keep-alives ended without an answer")));
        stream.on("data", (answer) => {
          stream.end();
          resolve(answer);
        });
        stream.write({ ID: lease });
      });
    }, call);
  }

  /** A stream that carries watches, for as long as the link lives. */
  async watch({ heard, ended }: WatchListener): Promise<(request: WatchRequest | null) => void> {
    const stream = await this.#once((options) => this.#driver.watchClient.watch(options), null);
    stream.on("data", (answer) => {
      if (this.#waiting === 0) this.#sockets.hold(false);
      this.#sockets.outside(() => heard(answer));
    });
    stream.on("error", (error) => this.#sockets.outside(() => ended(meaningOf(error, this.member))));
    stream.on("end", () =>
      this.#sockets.outside(() => ended(new Error(`etcd at ${this.member} ended the stream of watches`))),
    );
    return (request) => void (request === null ? stream.end() : stream.write(request));
  }

  /**
   * Cancels what is under way and resets the connection. What the network has taken may arrive at the member all the
   * same, however late: that is what the session's generation is for.
   */
  destroy(cause: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = cause instanceof Error ? cause : new Error("the connection was given up", { cause });
    for (const call of this.#calls) call.cancelWithStatus(cancelled, this.#failure.message);
    this.#calls.clear();
    this.#driver.close();
    this.#sockets.reset();
    this.#over(this);
  }

  /** A call whose failure leaves its outcome open ends the link: nobody knows in what state it is. */
  async #once<T>(work: (options: CallOptions) => Promise<T>, call: Call | null): Promise<T> {
    if (this.#failure !== null) throw this.#failure;
    if (++this.#waiting === 1) this.#sockets.hold(true);
    try {
      return await this.#withFreshToken(() => work({ interceptors: [this.#interceptor(call)] }), call);
    } catch (error) {
      const meaning = meaningOf(error, this.member);
      if (!(meaning instanceof RefusedError)) this.destroy(meaning);
      throw meaning;
    } finally {
      if (--this.#waiting === 0) this.#sockets.hold(false);
    }
  }

  /** What is refused for its token was not done: it is asked again, once, with a new one. */
  async #withFreshToken<T>(work: () => Promise<T>, call: Call | null): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (call === null || !(error instanceof Error) || !error.message.includes(staleTokenToUs)) throw error;
      this.#loggingIn ??= this.#logIn(call).finally(() => (this.#loggingIn = null));
      await this.#loggingIn;
      return work();
    }
  }

  async #logIn(call: Call): Promise<void> {
    const user = this.#user;
    if (user === null) return;
    this.#token = null;
    this.#token = await this.#once(async (options) => {
      try {
        return (await this.#driver.auth.authenticate(user, options)).token;
      } catch (error) {
        if (saysNoAuthentication(error)) return null;
        throw error;
      }
    }, call);
  }

  /** Where the driver's call meets gRPC: we add our headers, see how it ends, and can cancel it. */
  #interceptor(call: Call | null): Interceptor {
    return (options, next) => {
      if (this.#failure !== null) throw this.#failure;
      const under: GrpcCall = next(options);
      const start = under.start.bind(under);
      this.#calls.add(under);
      under.start = (metadata, listener) => {
        if (this.#token !== null) metadata.set("token", this.#token);
        if (call !== null) metadata.set(timeoutHeader, `${Math.ceil(call.timeoutMs)}m`);
        start(metadata, {
          onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
          onReceiveMessage: (message) => listener?.onReceiveMessage?.(message),
          onReceiveStatus: (status) => {
            this.#calls.delete(under);
            const details = status.details.replace(staleToken, staleTokenToUs);
            listener?.onReceiveStatus?.({ ...status, details });
          },
        });
      };
      // gRPC's type asks for its class; what it uses, and what `next` made, is the interface (`getInterceptingCall`).
      return under as GrpcCall & ReturnType<Interceptor>;
    };
  }
}
