import { startZookeeperEnsemble } from "../../integration/servers/src/index.ts";
import { connect } from "node:net"; import { text } from "node:stream/consumers";
import { ZooKeeperAdapter } from "./src/adapter.ts"; import { resolveOptions } from "./src/options.ts";
import { randomBytes } from "node:crypto"; import { Link } from "./src/client.ts";
const nonce=()=>randomBytes(16).toString("hex");
const call=(t=20000)=>({signal:AbortSignal.timeout(t),timeoutMs:t});
const e=await startZookeeperEnsemble({tickTime:2000,syncLimit:10});
const mode=async(s:any)=>{const k=connect(s.port,"127.0.0.1");k.end("srvr");return /Mode: (\w+)/.exec(await text(k).catch(()=>""))?.[1]??"none";};
const sleep=(ms:number)=>new Promise(r=>setTimeout(r,ms));
try{
 for(let i=0;i<16;i++){
  let modes:string[]=[]; do{modes=await Promise.all(e.servers.map(mode));await sleep(200);}while(modes.filter(m=>m!=="none").length<3);
  const f=e.servers[modes.indexOf("follower")]!; const l=e.servers[modes.indexOf("leader")]!;
  const ad=new ZooKeeperAdapter(resolveOptions(f.url)); const ev={hint(){},doubt(){},lost(){},ended(){}};
  const own=nonce();
  const s=await ad.open({ttlMs:4000,nonce:own,events:ev},call());
  const w=new Link(resolveOptions(l.url),30000,{connected(){},disconnected(){},ended(){}});
  await w.during(call(),async wire=>{await wire.sync("/");});
  const wire=w.wire();
  const sent:number[]=[]; const n=3;
  await sleep(Math.random()*1000);
  for(let k=0;k<n;k++){ if(k) await sleep(1333); sent.push(performance.now()); await s.prove(new Map(),call()); }
  const t=performance.now(); await e.peers.isolate(f); const iso=performance.now()-t;
  while(await wire.read("/elect/sessions/"+own)!==null) await sleep(5);
  const gone=performance.now();
  console.log(`T=4000: gone ${(gone-sent[n-1]!).toFixed(0)} after last proof's send, ${(gone-sent[n-2]!).toFixed(0)} after the one before; isolating took ${iso.toFixed(0)}`);
  s.abandon(); w.abandon();
  await e.peers.rejoin(f);
 }
}finally{await e.stop();}
