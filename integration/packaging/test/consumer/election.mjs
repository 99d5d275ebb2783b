import { createElection, memory } from "@elect/core";

const backend = memory();
const election = createElection({ backend, name: "nightly-report", ttl: 10_000 });
const term = await election.campaign();
console.log(JSON.stringify({ valid: term.isValid(), token: typeof term.token }));
await term.resign();
await election.close();
await backend.close();
