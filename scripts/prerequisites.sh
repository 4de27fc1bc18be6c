#!/usr/bin/env bash
# What the tests need beside Python: databases, browsers, web servers, Node. Installs what is missing with apt when it
# may, else names the command. Nothing it installs is started: the tests start servers of their own on private ports.
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
missing=()
need() { # package, then a test that it is there
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
need redis-server command -v redis-server
need postgresql compgen -G '/usr/lib/postgresql/*/bin/initdb'
need nginx-light command -v nginx
need chromium command -v chromium
need apache2 command -v apache2
need libapache2-mod-auth-openidc test -e /usr/lib/apache2/modules/mod_auth_openidc.so
need libapache2-mod-oauth2 test -e /usr/lib/apache2/modules/mod_oauth2.so
need libnginx-mod-http-js test -e /usr/lib/nginx/modules/ngx_http_js_module.so
need oidc-agent-cli command -v oidc-agent
need nodejs command -v node
need npm command -v npm
need openssl command -v openssl
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo env)
else
    printf 'The tests need some packages that are not here. Install them with:\n\n    sudo %s\n\n' "$install" >&2
    exit 1
fi
echo "Installing what the tests need: ${missing[*]}"
# Debian starts a service as it installs it, unless this file says 101 ("not allowed").
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -q
# shellcheck disable=SC2086
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive $install
