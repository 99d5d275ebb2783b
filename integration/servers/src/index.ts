export { imageOf, makeEngineReady, type ServerKind } from "./engine.ts";
export { startEtcd, startEtcdCluster, type EtcdCluster, type EtcdOptions } from "./etcd.ts";
export type { PeerNetwork } from "./peer-network.ts";
export { startPooledPostgres, type PooledPostgres } from "./pgbouncer.ts";
export { postgresPassword, startPostgres, type PostgresOptions } from "./postgres.ts";
export { startPostgresPair, type PostgresPair, type StandbyOptions } from "./postgres-standby.ts";
export { startRedis, startValkey, type RedisKind, type RedisOptions } from "./redis.ts";
export { startRedisCluster, type ClusterOptions, type RedisCluster } from "./redis-cluster.ts";
export { startRedisSentinel, type RedisSentinel, type SentinelOptions } from "./redis-sentinel.ts";
export { runId, runLabel, sweep } from "./run.ts";
export type { Server } from "./server.ts";
export {
  startZookeeper,
  startZookeeperEnsemble,
  type ZookeeperEnsemble,
  type ZookeeperOptions,
} from "./zookeeper.ts";
