// The types of an adapter may not need the driver's: it is not installed here.
import * as etcd from "@elect/etcd";
import * as postgres from "@elect/postgres";
import * as redis from "@elect/redis";
import * as sqlite from "@elect/sqlite";
import * as zookeeper from "@elect/zookeeper";

console.log(etcd, postgres, redis, sqlite, zookeeper);
