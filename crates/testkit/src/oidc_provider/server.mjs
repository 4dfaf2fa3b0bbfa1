// An OpenID provider (oidc-provider, which is certified) on a free port of this machine. Prints the
// port when it is ready. Arguments: where it is installed, a client's id, its secret, and where it may
// send browsers back to.
//
// Nobody has to be at its pages: the browser says who it is in `login_hint`. What is said about whom
// is set by a PUT of claims to /test/accounts/NAME.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, client_id, client_secret, redirect_uri] = process.argv.slice(1);
const entry = createRequire(`${modules}/package.json`).resolve("oidc-provider");
const { Provider } = await import(pathToFileURL(entry));

const accounts = new Map();
const server = createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id,
      client_secret,
      redirect_uris: [redirect_uri],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub"], profile: ["name", "groups"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["of a test"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({ sub, ...accounts.get(sub) }),
  }),
  interactions: { url: (_, interaction) => `/test/interaction/${interaction.uid}` },
  loadExistingGrant: async (context) => {
    const { client, session, result } = context.oidc;
    const grant = new context.oidc.provider.Grant({
      clientId: client.clientId,
      accountId: session.accountId ?? result?.login?.accountId,
    });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
});

async function test(request, response) {
  const [, , what, name] = request.url.split("/");
  if (what === "accounts") {
    let body = "";
    for await (const chunk of request) body += chunk;
    accounts.set(name, JSON.parse(body));
    response.writeHead(204).end();
  } else {
    const { params } = await provider.interactionDetails(request, response);
    const login = { accountId: params.login_hint };
    await provider.interactionFinished(request, response, { login });
  }
}

const serve = provider.callback();
server.on("request", (request, response) => {
  if (!request.url.startsWith("/test/")) return serve(request, response);
  test(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
console.log(server.address().port);
