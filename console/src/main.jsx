// GraphiQL for the viewer that the browser's session or a pasted token names.

import { GraphiQL } from "graphiql";
import "graphiql/graphiql.css";
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { Account, useDialog } from "./account.jsx";
import { example } from "./examples.js";
import { createFetcher } from "./fetcher.js";
import { state } from "./live.js";
import { viewer as find } from "./session.js";
import "./style.css";

const NOTICES = {
  nobody: "Queries are answered to those who are known: log in, or paste a token.",
  "logged-out": "The server does not know you any more: log in again, or paste another token.",
  "no-introspection":
    "There is no documentation of the schema here, for graphql.introspection is off. Your queries are answered all the same. The service role has documentation; the command “gom token” signs its tokens.",
  unreachable: "The server cannot be reached. Nothing is lost: try again in a moment.",
};

/** The viewer, and a function that reads it again. Another tab may log in and out as well. */
const useViewer = () => {
  const [viewer, setViewer] = useState(find);
  const look = useCallback(() => {
    setViewer((before) => {
      const now = find();
      return now?.key === before?.key ? before : now;
    });
  }, []);
  useEffect(() => {
    window.addEventListener("focus", look);
    return () => window.removeEventListener("focus", look);
  }, [look]);
  return [viewer, look];
};

const Notice = ({ problem, open }) => (
  <div className="notice" role="status">
    <p>{NOTICES[problem]}</p>
    {problem !== "unreachable" && (
      <button type="button" className="account-button" onClick={open}>
        {problem === "no-introspection" ? "Use a token" : "Log in"}
      </button>
    )}
  </div>
);

const CONNECTIONS = { connecting: "Connecting …", open: "Live", lost: "Connection lost; coming back …" };

/** The state of a subscription, below its last event. */
const Live = () => {
  const { connection, events } = useSyncExternalStore(state.listen, state.get);
  if (connection === "none") return null;
  return (
    <div className={`live ${connection}`} role="status">
      {CONNECTIONS[connection]} · {events} {events === 1 ? "answer" : "answers"}
    </div>
  );
};

const Console = () => {
  const [viewer, look] = useViewer();
  const [problem, setProblem] = useState();
  const dialog = useDialog();
  const { fetcher, close } = useMemo(() => createFetcher(setProblem), [viewer]);
  useEffect(() => close, [close]);
  const changed = () => {
    setProblem();
    look();
  };
  const shown = viewer ? problem : "nobody";
  const open = () => dialog.current.previousElementSibling.click();
  return (
    <>
      {shown && <Notice problem={shown} open={open} />}
      <GraphiQL
        fetcher={fetcher}
        // Without a viewer no request is sent.
        schema={viewer ? undefined : null}
        defaultQuery={example}
        shouldPersistHeaders={false}
        showPersistHeadersSettings={false}
      >
        <GraphiQL.Logo>
          <Account viewer={viewer} dialog={dialog} onChange={changed} />
        </GraphiQL.Logo>
        <GraphiQL.Footer>
          <Live />
        </GraphiQL.Footer>
      </GraphiQL>
    </>
  );
};

createRoot(document.getElementById("console")).render(<Console />);
