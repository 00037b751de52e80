export * from "./client.js";
export { default } from "./client.js";
