// Must not compile, on each of the marked lines.

import type { TypedDocumentNode } from '@graphql-typed-document-node/core';

import { OrdersPageDocument, ReadOrderDocument, type ReadOrderQuery } from './made/api.js';

declare function ask<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Data;

export const notSelected = (data: ReadOrderQuery) => data.order?.createdAt; // wrong: it was not asked for
export const unknown = (data: ReadOrderQuery) => data.order?.nmae; // wrong: there is no such field
export const nullable = (data: ReadOrderQuery): string => data.order?.name; // wrong: it may be null
export const number = ask(ReadOrderDocument, { where: { uid: 7 } }); // wrong: an id is a text
export const missing = ask(ReadOrderDocument, {}); // wrong: the variable is needed
export const value = ask(OrdersPageDocument, { where: { stage: 'OPENED' } }); // wrong: no such stage
export const filter = ask(OrdersPageDocument, { where: { nmae: 'x' } }); // wrong: no such filter
