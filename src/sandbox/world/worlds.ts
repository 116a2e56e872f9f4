import type { WorldDefinition } from './definition.ts';
import { demoWorld } from './demo.ts';

/** The worlds that can be started, by name. */
const WORLDS: ReadonlyMap<string, WorldDefinition> = new Map([[demoWorld.name, demoWorld]]);

/** The names of the worlds that there are. */
export const WORLD_NAMES: readonly string[] = [...WORLDS.keys()];

/** A world by name. @throws Error that says which ones there are */
export function worldNamed(name: string): WorldDefinition {
  const found = WORLDS.get(name);
  if (found !== undefined) return found;
  const known = WORLD_NAMES.join(', ');
  if (name === 'attack') throw new Error(`the world "attack" is not here yet; there is: ${known}`);
  throw new Error(`there is no world "${name}"; there is: ${known}`);
}
