// Every scalar, an enum and a list, of another datamodel than the shop's, with the configuration of docs/clients/types.md.

import { createClient } from '@gom/client';
import { graphql } from './gql/index.js';

const client = createClient({ url: '/graphql' });

const Messages = graphql(`
  query Messages($room: ID!, $since: DateTime) {
    room(where: { id: $room }) {
      kind
      messages(where: { createdAt_gt: $since }) { id text extra labels createdAt }
    }
  }
`);
const Post = graphql(`
  mutation Post($message: MessageCreateInput!) {
    createMessage(data: $message) { id }
  }
`);
const Clear = graphql(`
  mutation Clear($room: ID!) {
    deleteManyMessages(where: { room: { id: $room } }) { count }
  }
`);

const { data } = await client.query(Messages, { room: 'r', since: '2026-11-23T02:39:03.460Z' });
export const kind: 'PUBLIC' | 'DIRECT' | undefined = data.room?.kind;
const [first] = data.room?.messages ?? [];
export const texts: (string | undefined)[] = [first?.id, first?.text, first?.createdAt, ...(first?.labels ?? [])];
export const extra: unknown = first?.extra;
const message = { text: 'x', extra: { likes: 1 }, labels: { set: ['new'] }, room: { connect: { id: 'r' } } };
export const id: string = (await client.mutate(Post, { message })).data.createMessage.id;
export const count: number = (await client.mutate(Clear, { room: 'r' })).data.deleteManyMessages.count;
