# shellcheck shell=sh
# For scripts: gets what the build needs beside the Rust toolchain. OpenSSL, with which push messages are encrypted, is built
# from source by a C compiler, make and perl with its own modules (Debian's `perl-base` lacks some). Sourced after
# get-postgresql.sh.

has_build_tools() {
    command -v cc >/dev/null && command -v make >/dev/null &&
        perl -MFindBin -MIPC::Cmd -MFile::Compare -MPod::Usage -e 1 2>/dev/null
}

need_build_tools() {
    has_build_tools && return 0
    install_packages gcc libc6-dev make perl && return 0
    say "the build needs a C compiler, make and perl: install them with this system's package manager (Debian: gcc libc6-dev make perl)"
    return 1
}
