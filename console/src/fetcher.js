// From GraphiQL's requests to the server's answers.

import { getOperationAST, parse } from "graphql";
import { connect } from "./live.js";
import * as place from "./place.js";
import { post } from "./session.js";

/** What kind of operation it is; nothing, if the document cannot be parsed: the server reports the error. */
const operationOf = ({ query, operationName }) => {
  try {
    return getOperationAST(parse(query), operationName);
  } catch {
    return undefined;
  }
};

const isLive = (operation) => operation?.directives?.some(({ name }) => name.value === "live");

/** The server removes this directive before validation, and introspection does not list it. */
const LIVE = {
  name: "live",
  description: "Answers the query again whenever what it has read changes.",
  locations: ["QUERY"],
  args: [],
  isRepeatable: false,
};

/**
 * A fetcher for one viewer.
 * @param {(problem?: "logged-out" | "no-introspection" | "unreachable") => void} report called after each answer
 */
export const createFetcher = (report) => {
  const live = connect();
  // The last introspection result stays valid until the next one, whatever else is answered.
  let documented = true;
  const fetcher = async (parameters, { headers = {} } = {}) => {
    const operation = operationOf(parameters);
    if (operation?.operation === "subscription" || isLive(operation)) {
      return live.start(parameters, operation.operation === "subscription");
    }
    let answer;
    try {
      answer = await post(place.graphql, parameters, { headers });
    } catch {
      report("unreachable");
      return { errors: [{ message: "The server cannot be reached" }] };
    }
    const { status, body } = answer;
    const refusal = body?.errors?.[0];
    if (body?.error === "jwt_error" || refusal?.extensions?.code === "UNAUTHENTICATED") report("logged-out");
    else {
      if (refusal?.message.includes("graphql.introspection")) documented = false;
      if (body?.data?.__schema) documented = true;
      report(documented ? undefined : "no-introspection");
    }
    body?.data?.__schema?.directives?.push(LIVE);
    return body ?? { errors: [{ message: `The server answered with status ${status}, and no JSON` }] };
  };
  return { fetcher, close: live.close };
};
