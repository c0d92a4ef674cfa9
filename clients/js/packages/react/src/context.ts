"use client";
import { createContext, createElement, useContext } from "react";
import type { ReactElement, ReactNode } from "react";
import type { Client } from "@gom/client";

const Context = createContext<Client | undefined>(undefined);

/** Gives `client` to the hooks below it. It does not close the client. */
export function GomProvider({ client, children }: { readonly client: Client; readonly children?: ReactNode }): ReactElement {
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the provider, also for `session` and `query`. */
export function useGom(): Client {
  const client = useContext(Context);
  if (!client) throw new Error("There is no client: put the component inside <GomProvider client={…}>");
  return client;
}
