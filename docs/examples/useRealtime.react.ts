/** The realtime gateway in React components. Give all components the same client, made once for the page. */
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Message, MessageTypes, State, WebSocketClient } from "ginforge-realtime-client";

/** The connection's state; renders again when it changes. */
export function useConnectionState(client: WebSocketClient): State {
  const subscribe = useCallback((changed: () => void) => client.onState(changed), [client]);
  return useSyncExternalStore(subscribe, () => client.state, () => "idle");
}

/** Calls the handler of the last render for each message of a type. */
export function useMessages<T extends keyof MessageTypes>(
  client: WebSocketClient,
  type: T,
  handler: (message: MessageTypes[T]) => void,
): void {
  const latest = useRef(handler);
  useEffect(() => {
    latest.current = handler;
  });
  useEffect(() => client.on(type, (message) => latest.current(message)), [client, type]);
}

/** The last `keep` messages of a room; in it as long as the component is there. */
export function useRoom(client: WebSocketClient, room: string, keep = 200) {
  const [messages, setMessages] = useState<Message[]>([]);
  const [error, setError] = useState<Error | null>(null);
  const [incomplete, setIncomplete] = useState(false);

  useEffect(() => {
    let here = true;
    setMessages([]);
    setError(null);
    setIncomplete(false);
    const stops = [
      client.on("room_message", (message) => {
        if (message.room === room) setMessages((before) => [...before, message].slice(-keep));
      }),
      client.onGap(({ stream }) => {
        if (stream === `room:${room}`) setIncomplete(true);
      }),
    ];
    client.joinRoom(room).catch((reason: Error) => here && setError(reason));
    return () => {
      here = false;
      stops.forEach((stop) => stop());
      void client.leaveRoom(room);
    };
  }, [client, room, keep]);

  const say = useCallback((content: unknown) => client.sendToRoom(room, content), [client, room]);
  return { messages, error, incomplete, say };
}
