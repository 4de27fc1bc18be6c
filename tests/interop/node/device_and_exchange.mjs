// openid-client 6 and oauth4webapi 3: the device flow to its end, and a token exchange with the device's token.
import { browse, options, refusal, report } from './talk.mjs'

const client = await import('openid-client')
const oauth = await import('oauth4webapi')
const { issuer, device_id, service_id, service_secret, scope, resource } = options

const insecure = issuer.startsWith('http:')
const config = await client.discovery(
  new URL(issuer), device_id, { token_endpoint_auth_method: 'none' }, client.None(),
  { execute: insecure ? [client.allowInsecureRequests] : [] },
)
const device = await client.initiateDeviceAuthorization(config, { scope, resource })
const done = await browse(new URL(device.verification_uri_complete), new URL('/device/done', issuer).toString())
const tokens = await client.pollDeviceAuthorizationGrant(config, { ...device, interval: 1 })
const again = await refusal(client.genericGrantRequest(
  config, 'urn:ietf:params:oauth:grant-type:device_code', { device_code: device.device_code },
))

const as = await oauth
  .discoveryRequest(new URL(issuer), { [oauth.allowInsecureRequests]: insecure })
  .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response))
const service = { client_id: service_id }
const auth = oauth.ClientSecretBasic(service_secret)
const http = { [oauth.allowInsecureRequests]: insecure }
const ask = async (grant, parameters) => {
  const response = await oauth.genericTokenEndpointRequest(as, service, auth, grant, new URLSearchParams(parameters), http)
  return oauth.processGenericTokenEndpointResponse(as, service, response)
}
const own = await ask('client_credentials', { resource })
const type = 'urn:ietf:params:oauth:token-type:access_token'
const exchange = {
  subject_token: tokens.access_token, subject_token_type: type, actor_token: own.access_token, actor_token_type: type,
}
const exchanged = await ask('urn:ietf:params:oauth:grant-type:token-exchange', exchange)
const wider = await refusal(ask('urn:ietf:params:oauth:grant-type:token-exchange', { ...exchange, scope: 'write' }))
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
report({
  page: done.pathname, sub: tokens.claims()?.sub, again, subject: claims(tokens.access_token),
  exchanged: claims(exchanged.access_token), issued: exchanged.issued_token_type, wider,
})
