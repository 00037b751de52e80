/** The realtime gateway in Vue 3 components. Give all components the same client, made once for the page. */
import { onScopeDispose, readonly, ref, shallowRef, toValue, watch, type MaybeRefOrGetter } from "vue";
import type { Gap, Message, MessageTypes, WebSocketClient } from "ginforge-realtime-client";

/** The connection's state as a ref; handlers added with `on` go with the component. */
export function useRealtime(client: WebSocketClient) {
  const state = ref(client.state);
  const stops = [client.onState((next) => (state.value = next))];
  onScopeDispose(() => stops.forEach((stop) => stop()));

  function on<T extends keyof MessageTypes>(type: T, handler: (message: MessageTypes[T]) => void): void {
    stops.push(client.on(type, handler));
  }
  function onGap(handler: (gap: Gap) => void): void {
    stops.push(client.onGap(handler));
  }
  return { state: readonly(state), on, onGap };
}

/** The last `keep` messages of a room; follows the room when it is a ref, leaves it with the component. */
export function useRoom(client: WebSocketClient, room: MaybeRefOrGetter<string>, keep = 200) {
  const messages = shallowRef<Message[]>([]);
  const error = shallowRef<Error | null>(null);
  const incomplete = ref(false);

  const follow = (name: string, _: unknown, onCleanup: (run: () => void) => void) => {
    messages.value = [];
    error.value = null;
    incomplete.value = false;
    const stops = [
      client.on("room_message", (message) => {
        if (message.room === name) messages.value = [...messages.value, message].slice(-keep);
      }),
      client.onGap(({ stream }) => {
        if (stream === `room:${name}`) incomplete.value = true;
      }),
    ];
    let here = true;
    client.joinRoom(name).catch((reason: Error) => here && (error.value = reason));
    onCleanup(() => {
      here = false;
      stops.forEach((stop) => stop());
      void client.leaveRoom(name);
    });
  };
  watch(() => toValue(room), follow, { immediate: true });

  const say = (content: unknown) => client.sendToRoom(toValue(room), content);
  return { messages, error, incomplete, say };
}
