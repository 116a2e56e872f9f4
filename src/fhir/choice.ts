import choiceTypes from './choice-types.json' with { type: 'json' };

/** The types that may follow the name of a choice (STU3 and R4: datatypes.html#open), as they stand in it. */
const TYPES: ReadonlySet<string> = new Set(choiceTypes);

/** Whether a member stands for an element: by the element's own name or, of a choice, by that with a type (`valueQuantity` for `value`). */
export function isMemberOf(element: string, name: string): boolean {
  return name === element || (name.startsWith(element) && TYPES.has(name.slice(element.length)));
}
