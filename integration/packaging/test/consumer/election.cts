import elect = require("@elect/core");

const election = elect.createElection({ backend: elect.memory(), name: "nightly-report", ttl: 10_000 });
void election.close();
