// The hooks with a scripted server: what they open, share, show and end.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { createElement, flushSync, gom, hydrateRoot, mount, place, React, renderToString, unmountAll } from "./react.page.js";
import { until } from "./place.js";
import { answered, json, refused, turns } from "./scripts.js";
import { LIST, event, scripted } from "./scripted.js";

const { GomProvider, useGom, useLive, useMutate, useSet, useSubscription } = gom;
after(unmountAll);

test("the tests run with the version of React that they name", () => {
  assert.match(React.version, process.env.REACT === "18" ? /^18\./ : /^19\./);
});

const List = ({ options = LIST, onRender }) => {
  const view = useSet(options);
  onRender?.(view, options);
  return createElement("p", null, `[${view.rows.map(({ id }) => id)}|${view.status}|${view.error?.code ?? ""}]`);
};
const shown = (text, page) => until(() => page.text() === text, () => page.text());

describe("the hooks", { concurrency: true }, () => {
  test("components with equal options share one set, which StrictMode opens once, and which ends a moment after the last of them", async () => {
    const server = scripted();
    const compare = (left, right) => (left.id < right.id ? 1 : -1);
    const lists = [
      { ...LIST, variables: { stage: "s", of: "x" } },
      { ...LIST, variables: { of: "x", stage: "s" }, key: "id" },
      { ...LIST, variables: { stage: "s", of: "x" }, compare },
    ].map((options, key) => createElement(List, { key, options }));
    const page = mount(server.client, lists);
    await shown("[a|open|][a|open|][a|open|]", page);
    server.receive(event("CREATED", "b", "c2"));
    await shown("[a,b|open|][a,b|open|][b,a|open|]", page);
    page.show(lists.slice(0, 1));
    await shown("[a,b|open|]", page);
    page.show(null);
    await shown("", page);
    page.show(lists.slice(1, 2));
    await shown("[a,b|open|]", page);
    assert.deepEqual([server.requests.length, server.started().length, server.sockets.length, server.ended()], [1, 1, 1, []]);
    page.unmount();
    await until(() => server.sockets[0].closed);
    assert.deepEqual([server.ended().length, server.sockets.length], [1, 1]);
  });

  test("rows keep their identity over renders, and only an event makes another array", async () => {
    const server = scripted();
    const views = [];
    const element = () => createElement(List, { onRender: (view) => views.push(view) });
    const page = mount(server.client, element());
    await shown("[a|open|]", page);
    const open = views.at(-1);
    const renders = views.length;
    page.show(element());
    await until(() => views.length > renders);
    assert.equal(views.at(-1), open);
    server.receive(event("UPDATED", "a", "c2"));
    await until(() => views.at(-1).rows !== open.rows);
    assert.equal(views.at(-1).refresh, open.refresh);
    page.unmount();
  });

  test("with other variables no render shows rows of the earlier ones, and an answer that comes too late is not shown", async () => {
    const answers = [];
    const server = scripted(({ variables }) => new Promise((done) => answers.push(() => done(answered({ rows: [{ id: variables.of }] })))));
    const renders = [];
    const list = (of) => createElement(List, { options: { ...LIST, variables: { of } }, onRender: (view) => renders.push([of, view.rows.map(({ id }) => id).join()]) });
    const page = mount(server.client, list("a"));
    await until(() => answers.length === 1);
    page.show(list("b"));
    await until(() => answers.length === 2);
    page.show(list("c"));
    await until(() => answers.length === 3);
    for (const answer of [2, 0, 1]) answers[answer]();
    await shown("[c|open|]", page);
    page.show(list("b"));
    await shown("[b|open|]", page);
    for (const [of, rows] of renders) assert.ok(rows === "" || rows === of, `${rows} is shown for ${of}`);
    page.unmount();
    await until(() => server.sockets.every(({ closed }) => closed));
  });

  test("without options nothing is opened", async () => {
    const server = scripted();
    const Nothing = () => `${useSet(undefined).status} ${useLive(undefined).status} ${useSubscription(undefined, undefined, { onResult: () => undefined }).status}`;
    const page = mount(server.client, createElement(Nothing));
    await shown("closed closed closed", page);
    assert.deepEqual([server.requests, server.sockets], [[], []]);
    page.unmount();
  });

  test("a log-out empties the page at once, also of a set that had ended, and a new component opens what has ended again", async () => {
    const server = scripted(async ({ query }) => (query ? answered({ rows: [{ id: "a" }] }) : json({ success: true })), { token: undefined, csrfToken: () => "c" });
    const other = { ...LIST, variables: { of: "x" } };
    const page = mount(server.client, [createElement(List, { key: 1 }), createElement(List, { key: 2, options: other })]);
    await shown("[a|open|][a|open|]", page);
    const { id } = server.started().find(({ payload }) => payload.variables);
    server.receive({ type: "error", payload: [{ message: "no", extensions: { code: "LIMIT_EXCEEDED" } }] }, id);
    await shown("[a|open|][|closed|LIMIT_EXCEEDED]", page);
    const over = server.client.session.logOut();
    // Before any message has been handled.
    flushSync(() => page.show([createElement(List, { key: 1, onRender: ({ rows }) => assert.deepEqual(rows, []) }), createElement(List, { key: 2, options: other })]));
    assert.doesNotMatch(page.text(), /a/);
    await over;
    await shown("[|closed|UNAUTHENTICATED][|closed|LIMIT_EXCEEDED]", page);
    const first = [];
    page.show([createElement(List, { key: 3, onRender: ({ status, error }) => first.push([status, error]) }), createElement(List, { key: 1 })]);
    await shown("[a|open|][a|open|]", page);
    assert.deepEqual(first[0], ["connecting", undefined]);
    page.unmount();
    await until(() => server.sockets.at(-1).closed);
  });

  test("`refresh` reads the query again, and opens what has ended", async () => {
    let count = 0;
    const server = scripted(async () => answered({ rows: [{ id: String((count += 1)) }] }));
    let refresh;
    const page = mount(server.client, createElement(List, { onRender: (view) => (refresh = view.refresh) }));
    await shown("[1|open|]", page);
    refresh();
    await shown("[2|open|]", page);
    server.receive({ type: "error", payload: [{ message: "no", extensions: { code: "FORBIDDEN" } }] });
    await shown("[|closed|FORBIDDEN]", page);
    refresh();
    await shown("[3|open|]", page);
    page.unmount();
  });

  test("another client of the provider shows nothing of the earlier one", async () => {
    const [one, two] = [scripted(), scripted(async () => answered({ rows: [{ id: "b" }] }))];
    const renders = [];
    const list = () => createElement(List, { onRender: ({ rows }) => renders.push(rows.map(({ id }) => id).join()) });
    const page = mount(one.client, list());
    await shown("[a|open|]", page);
    const before = renders.length;
    page.show(list(), two.client);
    await shown("[b|open|]", page);
    assert.ok(!renders.slice(before).includes("a"));
    await until(() => one.sockets[0].closed);
    page.unmount();
  });

  test("a server renders without opening anything, and its page is hydrated without a difference", async () => {
    const server = scripted();
    const Whole = () => [createElement(List, { key: 1 }), useLive("query @live { a }").status];
    const element = createElement(GomProvider, { client: server.client }, createElement(Whole));
    const { element: container, text } = place();
    container.innerHTML = renderToString(element);
    await turns();
    assert.deepEqual([text(), server.requests, server.sockets], ["[|connecting|]connecting", [], []]);
    const errors = [];
    const root = hydrateRoot(container, element, { onRecoverableError: (error) => errors.push(error) });
    await shown("[a|open|]open", { text });
    assert.deepEqual(errors, []);
    root.unmount();
    await until(() => server.sockets[0].closed);
  });

  test("a live query keeps the parts that did not change, and shows nothing after its end", async () => {
    const server = scripted();
    const results = [];
    const Live = () => {
      const { data, status, error } = useLive("query($n: Int) @live { a { n } b }", { n: 1 });
      if (data) results.push(data);
      return `${JSON.stringify(data) ?? "nothing"} ${status} ${error?.code ?? ""}`;
    };
    const page = mount(server.client, [createElement(Live, { key: 1 }), createElement(Live, { key: 2 })]);
    await until(() => server.started().length === 1);
    server.receive({ type: "next", payload: { data: { a: { n: 1 }, b: 1 }, revision: 1 } });
    await shown('{"a":{"n":1},"b":1} open '.repeat(2), page);
    server.receive({ type: "next", payload: { patch: [{ op: "replace", path: "/b", value: 2 }], revision: 2 } });
    await shown('{"a":{"n":1},"b":2} open '.repeat(2), page);
    assert.equal(new Set(results.map(({ a }) => a)).size, 1);
    server.receive({ type: "error", payload: [{ message: "no", extensions: { code: "LIMIT_EXCEEDED" } }] });
    await shown("nothing closed LIMIT_EXCEEDED".repeat(2), page);
    assert.equal(server.started().length, 1);
    page.unmount();
  });

  test("a mutation that failed is repeated with its key, and any other call has a key of its own", async () => {
    const outcomes = [refused("OUTCOME_UNKNOWN"), answered({ done: 1 }), answered({ done: 2 }), refused("OUTCOME_UNKNOWN"), answered({ done: 3 }), refused("IDEMPOTENCY_KEY_REUSED"), answered({ done: 4 })];
    let hook;
    const server = scripted(async (_, count) => {
      if (count === 1) await until(() => hook.pending);
      return outcomes.shift();
    });
    const Save = () => {
      hook = useMutate("mutation($a: Int, $b: Int) { done }");
      return null;
    };
    const page = mount(server.client, createElement(Save));
    await until(() => hook);
    await assert.rejects(hook.mutate({ a: 1, b: 2 }), { code: "OUTCOME_UNKNOWN" });
    await until(() => hook.error);
    assert.equal(hook.pending, false);
    assert.deepEqual((await hook.mutate({ b: 2, a: 1 })).data, { done: 1 });
    await until(() => !hook.pending && !hook.error);
    await hook.mutate({ a: 1, b: 2 });
    await assert.rejects(hook.mutate({ a: 1 }));
    await hook.mutate({ a: 2 });
    await assert.rejects(hook.mutate({ a: 1 }), { code: "IDEMPOTENCY_KEY_REUSED" });
    page.unmount();
    // A call goes on when its component is gone.
    assert.deepEqual((await hook.mutate({ a: 1 })).data, { done: 4 });
    const keys = server.requests.map(({ extensions }) => extensions.idempotencyKey);
    const names = keys.map((key) => keys.indexOf(key));
    assert.deepEqual(names, [0, 0, 2, 3, 4, 3, 6]);
  });

  test("a subscription calls the newest handler, is opened once, and ends with its component or its variables", async () => {
    const server = scripted(async () => answered({ __typename: "Query" }, "c0"));
    const seen = [];
    const effects = [];
    const Events = ({ name, of }) => {
      const { status, error } = useSubscription("subscription($of: Int) { row { id } }", { of }, { onResult: ({ cursor }) => seen.push([name, cursor]) });
      // After those of the hook.
      React.useEffect(() => void effects.push(name));
      return `${status} ${error?.code ?? ""}`;
    };
    const page = mount(server.client, createElement(Events, { name: "first", of: 1 }));
    await shown("open ", page);
    page.show(createElement(Events, { name: "second", of: 1 }));
    await until(() => effects.includes("second"));
    server.receive(event("CREATED", "b", "c1"));
    assert.deepEqual([seen, server.started().length, server.sockets.length], [[["second", "c1"]], 1, 1]);
    page.show(createElement(Events, { name: "third", of: 2 }));
    await until(() => server.started().length === 2);
    assert.equal(server.started()[1].payload.variables.of, 2);
    await shown("open ", page);
    server.receive({ type: "error", payload: [{ message: "no", extensions: { code: "FORBIDDEN" } }] });
    await shown("closed FORBIDDEN", page);
    page.show(createElement(Events, { name: "fourth", of: 3 }));
    await until(() => server.started().length === 3);
    page.unmount();
    await until(() => server.sockets.at(-1).closed);
  });

  test("a hook outside a provider reports what is missing", () => {
    assert.throws(() => renderToString(createElement(() => String(useGom()))), /put the component inside <GomProvider client/);
  });
});
