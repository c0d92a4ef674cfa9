import type { PatchOperation } from "./types.js";

/** A patch does not fit the value: read the whole again. */
export class PatchError extends Error {
  override readonly name = "PatchError";
}

const parse = (pointer: string): string[] =>
  pointer === "" ? [] : pointer.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));

function read(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return value;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) throw new PatchError(`There is no ${name}`);
  return read((value as Record<string, unknown>)[name], rest);
}

type Edit = "add" | "remove" | "replace";

/** A copy of `value` with one place edited; what lies beside the path is shared with `value`. */
function edit(value: unknown, how: Edit, [name, ...rest]: readonly string[], put?: unknown): unknown {
  if (name === undefined) return put;
  if (typeof value !== "object" || value === null) throw new PatchError(`There is no ${name}`);
  if (Array.isArray(value)) {
    const index = name === "-" ? value.length : Number(name);
    const end = value.length - (how === "add" && rest.length === 0 ? 0 : 1);
    if (!(Number.isInteger(index) && index >= 0 && index <= end)) throw new PatchError(`There is no ${name}`);
    const copy = [...(value as unknown[])];
    if (rest.length > 0) copy[index] = edit(copy[index], how, rest, put);
    else copy.splice(index, how === "add" ? 0 : 1, ...(how === "remove" ? [] : [put]));
    return copy;
  }
  if ((rest.length > 0 || how !== "add") && !Object.hasOwn(value, name)) throw new PatchError(`There is no ${name}`);
  const entries = { ...(value as Record<string, unknown>) };
  if (rest.length === 0 && how === "remove") delete entries[name];
  // `defineProperty`, since an assignment to `__proto__` would set the prototype.
  else Object.defineProperty(entries, name, { value: rest.length > 0 ? edit(read(value, [name]), how, rest, put) : put, enumerable: true, configurable: true, writable: true });
  return entries;
}

function equal(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== "object" || typeof right !== "object" || !left || !right || Array.isArray(left) !== Array.isArray(right)) return false;
  const names = Object.keys(left);
  return names.length === Object.keys(right).length && names.every((name) => Object.hasOwn(right, name) && equal(read(left, [name]), read(right, [name])));
}

/** Applies a JSON Patch (RFC 6902) to a copy; parts that the patch does not touch stay the same objects. */
export function applyPatch(value: unknown, patch: readonly PatchOperation[]): unknown {
  return patch.reduce((current, { op, path, from = "", value: put }) => {
    const [at, source] = [parse(path), parse(from)];
    switch (op) {
      case "add":
      case "remove":
      case "replace":
        return edit(current, op, at, put);
      case "copy":
        return edit(current, "add", at, read(current, source));
      case "move":
        return edit(edit(current, "remove", source), "add", at, read(current, source));
      case "test":
        if (equal(read(current, at), put)) return current;
        throw new PatchError(`Another value is at ${path}`);
      default:
        throw new PatchError(`There is no operation ${op}`);
    }
  }, value);
}
