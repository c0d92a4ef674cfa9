// A client in miniature: what it sends and what it reads is checked against the schema by the compiler alone.

import { createClient } from '@gom/client';
import { sse } from '@gom/client/sse';
import { print } from 'graphql';
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';

import {
  AddItemDocument,
  CreateOrderDocument,
  OrdersPageDocument,
  ReadOrderDocument,
  type OrderChangesSubscription,
  type OrderStage,
  type OrdersPageQuery,
} from './made/api.js';

declare const process: { argv: string[] };

type Answer<Data> = { data: Data | null; errors?: { message: string; extensions: { code: string } }[] };

/** Asks the server; `token` is a service's. */
export async function ask<Data, Variables>(
  url: string,
  token: string,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const answer = (await response.json()) as Answer<Data>;
  if (answer.errors !== undefined || answer.data === null) {
    throw new Error(answer.errors?.map((error) => `${error.extensions.code}: ${error.message}`).join('; '));
  }
  return answer.data;
}

/** The same with `@gom/client`. */
export async function nameOf(url: string, token: string, uid: string): Promise<string | undefined> {
  const { data } = await createClient({ url, token: () => token, transport: sse(), print }).query(ReadOrderDocument, { where: { uid } });
  return data.order?.name;
}

/** One line for each order of a page. An order may have no date, a customer no last name. */
function lines(page: OrdersPageQuery): string[] {
  return page.ordersConnection.edges.flatMap((edge) => {
    if (edge === null) return [];
    const { name, stage, createdAt, issuedTo } = edge.node;
    const day: string = createdAt?.slice(0, 10) ?? 'never';
    return [`${day} ${name} ${stage satisfies OrderStage | null} ${issuedTo?.name1 ?? ''} ${issuedTo?.lastName1 ?? ''}`];
  });
}

/** The text that a subscriber shows for an event. */
export function describe(event: OrderChangesSubscription): string {
  const { mutation, node, previousValues } = event.order ?? { mutation: 'DELETED' };
  return `${mutation}: ${previousValues?.stage ?? '-'} → ${node?.stage ?? '-'}`;
}

async function main(url: string, token: string): Promise<void> {
  const { createOrder } = await ask(url, token, CreateOrderDocument, {
    data: {
      name: 'Typed',
      assignedTo: { connect: { extUid: 'auth0|demo-paletas' } },
      issuedTo: { connect: { extUid: 'DemoCode01' } },
    },
  });
  const { updateOrder } = await ask(url, token, AddItemDocument, {
    where: { uid: createOrder.uid },
    item: { quantity: 2, description: 'Mango', pricing: { create: [{ amount: 15.5, currency: 'MXN' }] } },
  });
  const amount: number | undefined = updateOrder?.items?.[0]?.pricing?.[0]?.amount;
  const page = await ask(url, token, OrdersPageDocument, { where: { uid: createOrder.uid }, first: 1 });
  const count: number = page.ordersConnection.aggregate.count;
  console.log(JSON.stringify({ amount, name: await nameOf(url, token, createOrder.uid), count, lines: lines(page) }));
}

const [url, token] = process.argv.slice(2);
if (url !== undefined && token !== undefined) await main(url, token);
