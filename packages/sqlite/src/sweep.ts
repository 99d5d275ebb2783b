/**
 * Who cleans up (S6): a session deletes its own row and files when it ends; whoever claims something of a dead one
 * deletes that one's (claiming.ts); and whoever opens a session sweeps up what dead ones left that nobody claimed:
 * candidates that only waited, files without a row. Each deletes while holding the lock that proves the death.
 */

import { text } from "./client.ts";
import { identityOf } from "./directory.ts";
import { isBusy } from "./errors.ts";
import { OtherLife, type Habitat } from "./life.ts";
import type { Store } from "./store.ts";

/** As far as it gets: if others are busy, the next one to open a session sweeps the rest. */
export function sweep(store: Store, habitat: Habitat): void {
  try {
    sweepAll(store, habitat);
  } catch (error) {
    if (!isBusy(error)) throw error;
  }
}

function sweepAll(store: Store, habitat: Habitat): void {
  const rows = new Set(store.read((sql) => sql.sessions.all().map((row) => text(row, "id"))));
  for (const id of rows) {
    withDead(habitat, id, () => {
      store.write((sql) => sql.endSession.run(id));
    });
  }
  // Their files were deleted by somebody else. Those that lead something are left to patience (claiming.ts).
  const lost = [...rows].filter((id) => identityOf(habitat.directory.session(id)) === null);
  if (lost.length > 0) store.write((sql) => lost.forEach((id) => sql.endIdleSession.run(id)));
  for (const id of habitat.directory.sessions()) {
    if (rows.has(id)) continue;
    // Its owner died before it wrote its row, or somebody died before deleting the file. Or its owner is just about to
    // lock it, and will find it gone and make another; or it has locked it, and then it is not dead.
    withDead(habitat, id, () => store.read((sql) => sql.session.get(id) === undefined));
    // A lease is made after the lock and deleted before it: alone, it is left over.
    if (identityOf(habitat.directory.session(id)) === null) habitat.directory.removeSession(id);
  }
}

/** Deletes the files of a session that is dead for good, unless `forget` says no. */
function withDead(habitat: Habitat, id: string, forget: () => boolean | void): void {
  const life = new OtherLife(habitat, id);
  try {
    if (life.isDeadForGood() && forget() !== false) habitat.directory.removeSession(id);
  } finally {
    life.close();
  }
}
