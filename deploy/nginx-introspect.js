// Asks Watchword about the token of a request (RFC 7662), for `auth_request` of nginx: docs/how-to/resource-servers.md.
//
// Beside it stand two variables, $token_audience and $token_scope (empty: any), and the location /_introspect.

import crypto from 'crypto';

function refuse(r, status, error) {
    r.headersOut['WWW-Authenticate'] = 'Bearer realm="api"' + (error ? ', error="' + error + '"' : '');
    r.return(status);
}

// The thumbprint of the client's certificate (RFC 8705 section 3.1); empty where it showed none.
function thumbprint(pem) {
    if (!pem) {
        return '';
    }
    const lines = pem.split('\n').filter((line) => line && line.indexOf('-----') !== 0);
    const der = Buffer.from(lines.join(''), 'base64');
    return crypto.createHash('sha256').update(der).digest('base64url');
}

function includes(value, wanted) {
    return Array.isArray(value) ? value.indexOf(wanted) >= 0 : value === wanted;
}

async function check(r) {
    const given = /^bearer +([A-Za-z0-9._~+\/=-]+)$/i.exec(r.headersIn.Authorization || '');
    if (!given) {
        return refuse(r, 401, '');
    }
    const answer = await r.subrequest('/_introspect', {
        method: 'POST',
        body: 'token=' + encodeURIComponent(given[1]),
    });
    if (answer.status !== 200) {
        r.error('introspection answered ' + answer.status);
        return r.return(500);
    }
    const token = JSON.parse(answer.responseText);
    if (token.active !== true || !includes(token.aud, r.variables.token_audience)) {
        return refuse(r, 401, 'invalid_token');
    }
    const bound = token.cnf || {};
    const known = Object.keys(bound).every((name) => name === 'x5t#S256');
    if (!known || (bound['x5t#S256'] && bound['x5t#S256'] !== thumbprint(r.variables.ssl_client_raw_cert))) {
        return refuse(r, 401, 'invalid_token');
    }
    const scope = r.variables.token_scope;
    if (scope && (token.scope || '').split(' ').indexOf(scope) < 0) {
        return refuse(r, 403, 'insufficient_scope');
    }
    r.headersOut['X-Token-Subject'] = token.sub || '';
    r.return(204);
}

export default { check };
