export const QUERY = "{ orders(where: { stage: OPEN }) { uid name stage } }";
export const EVENTS = "subscription { order(where: { node: { stage: OPEN } }) { mutation node { uid name stage } previousValues { uid } } }";
export const CREATE = `mutation($name: String!) {
  createOrder(data: { name: $name, stage: OPEN, assignedTo: { connect: { extUid: "auth0|demo-paletas" } },
    issuedTo: { connect: { uid: "cdemobp000000000000000001" } } }) { uid } }`;
