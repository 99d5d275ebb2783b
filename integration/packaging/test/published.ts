/** The published packages, by the name of their folder. */
export const published = [
  "core",
  "testing",
  "cli",
  "sqlite",
  "zookeeper",
  "etcd",
  "redis",
  "postgres",
] as const;
