// The Node middleware of @octokit/webhooks, which verifies and stores nothing. Arguments: the secret, the path of
// the installed package. It prints its port.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [secret, entry] = process.argv.slice(2);
const { Webhooks, createNodeMiddleware } = await import(pathToFileURL(entry).href);
const webhooks = new Webhooks({ secret });
webhooks.onAny(() => {});
const server = createServer(createNodeMiddleware(webhooks, { path: "/webhooks/github" }));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
