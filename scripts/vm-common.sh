# What the scripts of the virtual machine rig share; to be sourced, from the root of the workspace.
#
# Everything comes from the package mirror of this machine's own apt sources; only the suite differs. Everything lies
# under target/vm and may be removed at any time.

vm=$PWD/target/vm
vm_suite=trixie
vm_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

vm_fail() { echo "vm-setup: $*" >&2; exit 1; }

# The Debian mirror this machine uses.
vm_mirror() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || vm_fail "no Debian mirror among the apt sources"
    echo "$mirror"
}

# vm_sources SUITE...: lines for sources.list.
vm_sources() {
    local mirror suite
    mirror=$(vm_mirror)
    for suite in "$@"; do
        echo "deb [signed-by=$vm_keyring] $mirror $suite main"
    done
}

# vm_bootstrap TARGET SUITES OPTION...: mmdebstrap with this machine's proxies; SUITES is one word, divided by commas.
vm_bootstrap() {
    local target=$1 suites=$2 proxies=() line
    shift 2
    while IFS= read -r line; do
        proxies+=(--aptopt="$line")
    done < <(apt-config dump --no-empty | grep -iE '^Acquire::.*::proxy')
    # shellcheck disable=SC2046
    vm_sources $(tr , ' ' <<<"$suites") |
        mmdebstrap --mode=root --skip=check/empty "${proxies[@]}" \
            --aptopt='APT::Sandbox::User "root"' --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
            "$@" "$vm_suite" "$target" -
}

# vm_key FILE...: what a cached result depends on, in one word.
vm_key() { cat "$@" | sha256sum | cut -c 1-16; }

# vm_cached FOLDER KEY: true if FOLDER was finished with that key.
vm_cached() { [ "$(cat "$1/key" 2>/dev/null)" = "$2" ]; }

# vm_begin FOLDER: an empty folder in its place.
vm_begin() { rm -rf --one-file-system "$1" && mkdir -p "$1"; }
