// Push messages in a browser: a page subscribes a service worker's registration, the server tells the push service, and what it
// really sent is decrypted and delivered to the worker. Browsers reach no push service here, so the page makes up the keys and
// names ours; what follows is a browser's own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createECDH } from "node:crypto";
import { readFile } from "node:fs/promises";
import { get } from "node:https";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import ece from "http_ece";

const PATIENCE = 20_000;

/** Starts the push service of the tests; gives its address, its authority's certificate, what it received, and a way to end it. */
export async function startPushService(program) {
  const child = spawn(program, [], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const [address, caFile] = [(await lines.next()).value, (await lines.next()).value];
  const ca = await readFile(caFile);
  const received = () =>
    new Promise((resolve, reject) => {
      get(`${address}/received`, { ca }, async (answer) => {
        const chunks = [];
        for await (const chunk of answer) chunks.push(chunk);
        resolve(JSON.parse(Buffer.concat(chunks)));
      }).on("error", reject);
    });
  const close = () => {
    child.stdin.end();
    return ended;
  };
  return { address, caFile, received, close };
}

/** Waits until something is there. */
async function until(what, look) {
  for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; await sleep(50)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`${what}: not within ${PATIENCE} ms`);
}

/** The messages that were sent to a device, decrypted with its keys. */
async function messages(service, device) {
  const receiver = createECDH("prime256v1");
  receiver.setPrivateKey(Buffer.from(device.privateKey, "base64url"));
  const path = new URL(device.subscription.endpoint).pathname;
  const received = (await service.received()).filter((request) => request.path === path);
  return received.map(({ headers, body }) => {
    const [, key] = /^vapid t=[\w.-]+, ?k=([\w-]+)$/.exec(headers.authorization);
    assert.equal(key, device.applicationServerKey, "signed with the key for which the browser subscribed");
    assert.equal(headers["content-encoding"], "aes128gcm");
    const options = { version: "aes128gcm", privateKey: receiver, authSecret: device.subscription.keys.auth };
    return { headers, text: ece.decrypt(Buffer.from(body, "base64"), options).toString("utf8") };
  });
}

/**
 * A customer's order notifies the seller's browser.
 *
 * `seller`, `customer`: a page's functions each, of users who are logged in.
 */
export async function push({ context, page, origin, service, seller, customer, sellerId, data }) {
  await context.grantPermissions(["notifications"], { origin });
  const session = await context.newCDPSession(page);
  const registered = new Promise((resolve) =>
    session.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      const own = registrations.find(({ scopeURL, isDeleted }) => scopeURL === `${origin}/` && !isDeleted);
      if (own) resolve(own.registrationId);
    }),
  );
  await session.send("ServiceWorker.enable");
  const device = await seller.subscribe(service.address);
  const registrationId = await registered;

  const answer = await seller.post("/webpush/subscribe", device.subscription);
  assert.deepEqual([answer.status, answer.body], [201, true], JSON.stringify(answer));

  const uid = (await customer.payload()).sub;
  const make = `mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }`;
  const made = data(
    await customer.graphql(make, {
      data: {
        name: "Pedido ñ 🌮",
        assignedTo: { connect: { extUid: sellerId } },
        issuedTo: { connect: { uid } },
        items: { create: [{ quantity: 1, description: "Flan", pricing: { create: [{ amount: 15.5, currency: "MXN" }] } }] },
      },
    }),
  ).createOrder;

  const shownAfter = async (count, operation) => {
    const sent = await until(`message ${count}`, async () => {
      const sent = await messages(service, device);
      return sent.length >= count && sent;
    });
    assert.equal(sent.length, count, "sent once");
    const { headers, text } = sent[count - 1];
    assert.ok(Number(headers.ttl) > 0 && headers.urgency === "high", JSON.stringify(headers));
    await session.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: text });
    return until("the notification", () => seller.notification(operation));
  };
  const name = data(await seller.graphql(`query($where: OrderWhereUniqueInput!) { order(where: $where) { name } }`, { where: { uid: made.uid } }))
    .order.name;
  assert.deepEqual(await shownAfter(1, "create"), {
    count: 1,
    title: "Pedido nuevo",
    body: `Tienes un nuevo pedido: ${name}`,
    tag: `order:${made.uid}`,
    data: { type: "order", uid: made.uid, operation: "create" },
  });

  const change = `mutation($data: OrderUpdateInput!, $where: OrderWhereUniqueInput!) { updateOrder(data: $data, where: $where) { uid } }`;
  data(await customer.graphql(change, { where: { uid: made.uid }, data: { name: "Otro" } }));
  assert.deepEqual(await shownAfter(2, "update"), {
    count: 1,
    title: "Pedido actualizado",
    body: "Otro ha sido actualizado",
    tag: `order:${made.uid}`,
    data: { type: "order", uid: made.uid, operation: "update" },
  });

  // As the menu does at logout; nothing comes after it.
  const ended = await seller.post("/webpush/unsubscribe", device.subscription);
  assert.deepEqual([ended.status, ended.body], [201, true], JSON.stringify(ended));
  data(await customer.graphql(change, { where: { uid: made.uid }, data: { name: "Callado" } }));
  await sleep(2_000);
  assert.equal((await messages(service, device)).length, 2);
  await session.detach();
}
