// The hooks with a scripted server: what they open, share, show and end.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { createElement, flushSync, gom, hydrateRoot, mount, place, React, renderToString, unmountAll } from "./react.page.js";
import { until } from "./place.js";
import { answered, json, refused, turns } from "./scripts.js";
import { LIST, event, scripted } from "./scripted.js";
import { seconds } from "./seconds.js";

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

describe("the hooks", () => {
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
    await seconds(() => server.sockets[0].closed);
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
    server.sockets[0].onclose({ code: 1006 });
    await until(() => views.at(-1).status === "reconnecting");
    assert.equal(views.at(-1).rows, open.rows, "a lost connection changes no row");
    await until(() => views.at(-1).status === "open" && server.started().length === 2);
    assert.equal(views.at(-1).rows, open.rows);
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
    await seconds(() => server.sockets.every(({ closed }) => closed));
  });

  test("are `connecting` until something has been read, also while there is no server", async () => {
    let down = true;
    const server = scripted(async () => {
      if (down) throw new TypeError("offline");
      return answered({ rows: [] });
    });
    const seen = new Set();
    const page = mount(server.client, createElement(List, { onRender: ({ status }) => seen.add(status) }));
    await until(() => server.requests.length >= 2);
    assert.deepEqual([[...seen], page.text()], [["connecting"], "[|connecting|]"]);
    down = false;
    await shown("[|open|]", page);
    page.unmount();

    const live = scripted();
    const states = new Set();
    const Live = () => {
      const { data, status } = useLive("query @live { a }");
      states.add(`${status} ${data?.a}`);
      return null;
    };
    const other = mount(live.client, createElement(Live));
    await until(() => live.started().length === 1);
    live.sockets[0].onclose({ code: 1006 });
    await until(() => live.started().length === 2);
    live.receive({ type: "next", payload: { data: { a: 1 }, revision: 1 } });
    await until(() => states.has("open 1"));
    assert.deepEqual([...states], ["connecting undefined", "open 1"]);
    other.unmount();
  });

  test("documents of one source are not the same", async () => {
    const source = { body: "query A @live { a } query B @live { b }" };
    const documents = ["a", "b"].map((field) => ({ kind: "Document", field, loc: { source } }));
    const server = scripted(undefined, { print: ({ field }) => `query @live { ${field} }` });
    const Live = ({ document }) => JSON.stringify(useLive(document).data) ?? "-";
    const page = mount(server.client, documents.map((document, key) => createElement(Live, { key, document })));
    await until(() => server.started().length === 2);
    for (const { id, payload } of server.started()) server.receive({ type: "next", payload: { data: { [payload.query.at(-3)]: 1 }, revision: 1 } }, id);
    await shown('{"a":1}{"b":1}', page);
    page.unmount();
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
    await seconds(() => server.sockets.at(-1).closed);
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
    await seconds(() => one.sockets[0].closed);
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
    await shown("[a|open|]connecting", { text });
    await until(() => server.started().length === 2);
    server.receive({ type: "next", payload: { data: { a: 1 }, revision: 1 } }, server.started().find(({ payload }) => payload.query.includes("@live")).id);
    await shown("[a|open|]open", { text });
    assert.deepEqual(errors, []);
    root.unmount();
    await seconds(() => server.sockets[0].closed);
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

  test("each call whose outcome is unknown is repeated with its key, for some minutes and with the same client; one that was refused is not", async (context) => {
    const outcomes = [];
    let hook;
    const [one, two] = ["one", "two"].map(() => scripted(async () => (outcomes.length > 0 ? refused(outcomes.shift()) : answered({ done: 1 }))));
    const Save = () => {
      hook = useMutate("mutation($a: Int) { done }");
      return useGom() === one.client ? "one" : "two";
    };
    const page = mount(one.client, createElement(Save));
    await shown("one", page);
    const names = ({ requests }) => {
      const keys = requests.splice(0).map(({ extensions }) => extensions.idempotencyKey);
      return keys.map((key) => keys.indexOf(key));
    };
    const call = async (a, ...codes) => {
      outcomes.push(...codes);
      for (const code of codes) await assert.rejects(hook.mutate({ a }), { code });
    };

    await call(1, "OUTCOME_UNKNOWN");
    await call(2, "DEADLINE_EXCEEDED");
    for (const a of [2, 1, 1]) await hook.mutate({ a });
    assert.deepEqual(names(one), [0, 1, 1, 0, 4], "several");
    await call(1, "OUTCOME_UNKNOWN", "LIMIT_EXCEEDED", "LIMIT_EXCEEDED");
    assert.deepEqual(names(one), [0, 0, 2], "what was refused is another write next time");

    await call(1, "SERVICE_UNAVAILABLE");
    await hook.mutate({ a: 1 }, { idempotencyKey: "own" });
    await hook.mutate({ a: 1 });
    assert.deepEqual(names(one), [0, 1, 2], "the call has succeeded with another key");

    await call(1, "NOT_FOUND", "TOO_MANY_REQUESTS");
    context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 6 * 60_000 });
    await hook.mutate({ a: 1 });
    assert.deepEqual(names(one), [0, 1, 2], "minutes later");
    context.mock.timers.reset();

    for (let a = 0; a <= 100; a += 1) await call(a, "OUTCOME_UNKNOWN");
    for (const a of [1, 0]) await hook.mutate({ a });
    assert.deepEqual(names(one).slice(-2), [1, 102], "only so many are remembered");

    await call(1, "OUTCOME_UNKNOWN");
    page.show(createElement(Save), two.client);
    await shown("two", page);
    await hook.mutate({ a: 1 });
    assert.notEqual(two.requests[0].extensions.idempotencyKey, one.requests[0].extensions.idempotencyKey, "another client");
    page.unmount();
  });

  test("another client shows nothing of the end of the earlier one's subscription, and `refresh` opens it again", async () => {
    const [one, two] = ["one", "two"].map(() => scripted(async () => answered({ __typename: "Query" }, "c0")));
    const seen = [];
    let refresh;
    const Events = () => {
      const own = useSubscription("subscription { row { id } }", undefined, { onResult: () => undefined });
      refresh = own.refresh;
      seen.push(`${useGom() === one.client ? "one" : "two"} ${own.status} ${own.error?.code ?? ""}`);
      return seen.at(-1);
    };
    const page = mount(one.client, createElement(Events));
    const end = () => one.receive({ type: "error", payload: [{ message: "no", extensions: { code: "FORBIDDEN" } }] });
    await shown("one open ", page);
    end();
    await shown("one closed FORBIDDEN", page);
    refresh();
    await shown("one open ", page);
    assert.equal(one.started().length, 2);
    end();
    await shown("one closed FORBIDDEN", page);
    page.show(createElement(Events), two.client);
    await shown("two open ", page);
    assert.ok(!seen.some((each) => /two.*FORBIDDEN/.test(each)), seen.join("; "));
    page.unmount();
    await until(() => two.sockets[0].closed);
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
    await seconds(() => server.sockets.at(-1).closed);
  });

  test("a hook outside a provider reports what is missing", () => {
    assert.throws(() => renderToString(createElement(() => String(useGom()))), /put the component inside <GomProvider client/);
  });
});
