// Components that come, go and change their variables, at a server that is late, loses answers, breaks sockets and forgets positions. SEED repeats a run, ROUNDS makes it longer.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createClient } from "@gom/client";
import { createElement, gom, mount, unmountAll } from "./react.page.js";
import { dice, until } from "./place.js";
import { url } from "./scripts.js";
import { simulate } from "./simulated.js";

const SET = { query: "query($of: String) { rows { id name list } }", subscription: "subscription($of: String) { row { mutation node { id name list } previousValues { id } } }" };
const LISTS = ["a", "b", "c"];
const text = (rows) => rows.map(({ id, name }) => `${id} ${name}`).sort().join();

after(unmountAll);

async function play(seed) {
  const random = dice(seed);
  const any = (values) => values[Math.floor(random() * values.length)];
  const server = simulate(random);
  const client = createClient({ url, WebSocket: server.Socket, fetch: server.fetch, token: () => "t", random: () => 0, retryFor: 60_000 });
  const shown = new Map();
  const wrong = [];
  const List = ({ name, of }) => {
    const { rows, error } = gom.useSet({ ...SET, variables: { of } });
    shown.set(name, { rows, of, error });
    for (const row of rows) if (row.list !== of) wrong.push(`${row.id} of ${row.list} in ${of}`);
    return null;
  };
  const page = mount(client, null);
  const lists = new Map();
  const show = () => page.show([...lists].map(([name, of]) => createElement(List, { key: name, name, of })));
  for (let step = 0; step < 40; step += 1) {
    const choice = random();
    if (choice < 0.3) lists.set(any(["one", "two", "three", "four"]), any(LISTS));
    else if (choice < 0.4) lists.delete(any([...lists.keys(), "none"]));
    else if (choice < 0.43) server.forget();
    else server.write({ query: random() < 0.15 ? "remove" : "set", variables: { id: `r${Math.floor(random() * 6)}`, name: `n${step}`, list: any(LISTS) } }, `${step}`);
    show();
    if (random() < 0.6) await new Promise((done) => setTimeout(done, random() * 40));
  }
  server.calm();
  for (const [name, of] of lists) {
    const own = () => shown.get(name) ?? { rows: [] };
    await until(
      () => own().of === of && text(own().rows) === text(server.list(of)),
      () => `SEED=${seed}: ${name} shows ${text(own().rows)} (${own().error}) of ${of}, the server has ${text(server.list(of))}`,
    );
  }
  assert.deepEqual(wrong, [], `SEED=${seed}`);
  page.unmount();
  await until(() => server.sockets.size === 0, () => `SEED=${seed}: ${server.sockets.size} sockets stay open`);
}

test("components show the rows of their own variables only, and equal the server's in the end", { timeout: 600_000 }, async () => {
  const first = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  const rounds = process.env.SEED ? 1 : Number(process.env.ROUNDS ?? 8);
  console.log(`SEED=${first} and the ${rounds - 1} that follow`);
  await Promise.all(Array.from({ length: rounds }, (_, round) => play(first + round)));
});
