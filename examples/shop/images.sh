#!/usr/bin/env bash
# Makes the images of the shop: the shop itself from examples/shop, Redis and HAProxy from Debian's packages (redis-server is a link to redis-check-rdb).
#
#   examples/shop/images.sh DIR      # makes DIR/shop.tar, DIR/redis.tar, DIR/haproxy.tar
set -euo pipefail
out=$(mkdir -p "${1:?the directory for the images}" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."
scripts/deps.sh shop

root=$PWD/.cache/shop
export LD_LIBRARY_PATH=$root/usr/lib/$(uname -m)-linux-gnu
bin/pack -libs -root "$root" -o "$out/redis.tar" -name solopod.example/redis:1 -entrypoint /usr/bin/redis-server "$root/usr/bin/redis-check-rdb":/usr/bin/redis-server
bin/pack -libs -root "$root" -o "$out/haproxy.tar" -name solopod.example/haproxy:1 -entrypoint /usr/sbin/haproxy "$root/usr/sbin/haproxy":/usr/sbin/haproxy
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$root/shop" ./examples/shop
bin/pack -o "$out/shop.tar" -name solopod.example/shop:1 -entrypoint /shop "$root/shop":/shop
