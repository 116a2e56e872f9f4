import { attackWorld } from './attack.ts';
import type { WorldDefinition } from './definition.ts';
import { demoWorld } from './demo.ts';

/** The worlds that can be started, by name. */
const WORLDS: ReadonlyMap<string, WorldDefinition> = new Map([demoWorld, attackWorld].map((world) => [world.name, world]));

/** The names of the worlds that there are. */
export const WORLD_NAMES: readonly string[] = [...WORLDS.keys()];

/** A world by name. @throws Error that says which ones there are */
export function worldNamed(name: string): WorldDefinition {
  const found = WORLDS.get(name);
  if (found !== undefined) return found;
  throw new Error(`there is no world "${name}"; there is: ${WORLD_NAMES.join(', ')}`);
}
