#!/bin/sh
# Makes the passwords and certificates of the trial region. Needs openssl. What is there already stays; remove the folder's files to begin again.
#   prepare.sh [FOLDER]      default: secrets/ beside this file
set -eu
umask 077
folder="${1:-$(dirname "$0")/secrets}"
mkdir -p "$folder"
cd "$folder"

if [ ! -f database-password ]; then
  openssl rand -hex 24 | tr -d '\n' > database-password
  printf 'postgres://sluis:%s@database:5432/sluis' "$(cat database-password)" > database-url
fi

if [ ! -f ca.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj '/CN=Sluis trial region' -days 365 2> /dev/null
fi

# name, then the host names that the certificate is for
certificate() {
  name="$1"
  [ -f "$name.pem" ] && return
  shift
  names=''
  for host in "$@"; do names="$names,DNS:$host"; done
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${names#,}" > extensions
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$name.key" -out request -subj "/CN=$1" 2> /dev/null
  openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile extensions -out "$name.pem" 2> /dev/null
  rm -f request extensions
}

certificate proxy gate.sluis.test node-oost.sluis.test node-west.sluis.test
certificate node-oost node-oost
certificate node-west node-west

# Docker mounts these files with the owner and mode that they have here, and each container has its own user:
# they must be readable to it. The folder itself is closed to other users of this machine.
chmod 644 ./*
chmod 600 ca.key
chmod 700 .
echo "Ready in $(pwd)"
