import { connect, createElection } from "@elect/core";

const stop = new AbortController();
const backend = await connect("sqlite:./.elect");
const election = createElection({ backend, name: "nightly-report", ttl: 10_000, metadata: { zone: "a" } });

await election.run(
  async (term) => {
    term.assertValid();
    const token: bigint = term.token;
    const fence: string = term.fence;
    const left: number = term.remaining();
    console.log(token, fence, left, term.signal.aborted);
    await Promise.resolve();
  },
  { signal: stop.signal },
);

{
  await using term = await election.campaign({ signal: stop.signal });
  const valid: boolean = term.isValid();
  console.log(valid);
}

const leader = await election.leader();
if (leader !== null) console.log(leader.id, leader.token);
for await (const now of election.observe({ signal: stop.signal })) console.log(now?.id);
for (const candidate of await election.candidates()) console.log(candidate.id, candidate.metadata);
await election.close();
await backend.close();
