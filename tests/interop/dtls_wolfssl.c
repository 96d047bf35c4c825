/* One DTLS 1.2 connection with wolfSSL, for the tests of this folder; used as dtls_mbedtls.c.

   cc -o dtls_wolfssl dtls_wolfssl.c -lwolfssl */

#include <wolfssl/options.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wolfssl/ssl.h>

#define EXPORTED 60
#define LABEL "EXTRACTOR-dtls_srtp"

static void check(int result, const char *what)
{
    if (result != WOLFSSL_SUCCESS) {
        printf("%s: %d\n", what, result);
        exit(1);
    }
}

static int accept_any(int preverified, WOLFSSL_X509_STORE_CTX *store)
{
    (void) preverified, (void) store;
    return 1;
}

static unsigned short group_of(const char *name)
{
    if (!strcmp(name, "x25519"))
        return WOLFSSL_ECC_X25519;
    return !strcmp(name, "secp384r1") ? WOLFSSL_ECC_SECP384R1 : WOLFSSL_ECC_SECP256R1;
}

int main(int count, char **arguments)
{
    setbuf(stdout, NULL);
    if (count != 9)
        return 2;
    int server = !strcmp(arguments[1], "server");
    const char *text = arguments[8];
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((unsigned short) atoi(arguments[2]))};
    socklen_t size = sizeof peer;

    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wolfSSL_Init();
    WOLFSSL_CTX *context = wolfSSL_CTX_new(server ? wolfDTLSv1_2_server_method() : wolfDTLSv1_2_client_method());
    check(wolfSSL_CTX_use_certificate_file(context, arguments[3], WOLFSSL_FILETYPE_PEM), "certificate");
    check(wolfSSL_CTX_use_PrivateKey_file(context, arguments[4], WOLFSSL_FILETYPE_PEM), "key");
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, accept_any); /* a server asks for ours, and takes any */
    if (*arguments[5])
        check(wolfSSL_CTX_set_cipher_list(context, arguments[5]), "suite");
    if (*arguments[7]) {
        check(wolfSSL_CTX_UseSupportedCurve(context, group_of(arguments[7])), "group");
        check(wolfSSL_CTX_UseSupportedCurve(context, WOLFSSL_ECC_SECP256R1), "group"); /* for certificates */
    }

    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (server) {
        char first;
        if (bind(udp, (struct sockaddr *) &peer, sizeof peer) ||
            recvfrom(udp, &first, 1, MSG_PEEK, (struct sockaddr *) &peer, &size) < 0)
            return 1;
    }
    if (connect(udp, (struct sockaddr *) &peer, sizeof peer))
        return 1;

    WOLFSSL *ssl = wolfSSL_new(context);
    wolfSSL_KeepArrays(ssl); /* or there is nothing to export from */
    wolfSSL_dtls_set_peer(ssl, &peer, sizeof peer);
    wolfSSL_set_fd(ssl, udp);
    if (server ? wolfSSL_accept(ssl) != WOLFSSL_SUCCESS : wolfSSL_connect(ssl) != WOLFSSL_SUCCESS) {
        printf("handshake: %d\n", wolfSSL_get_error(ssl, 0));
        return 1;
    }
    unsigned char exported[EXPORTED];
    check(wolfSSL_export_keying_material(ssl, exported, EXPORTED, LABEL, strlen(LABEL), NULL, 0, 0), "export");
    printf("Suite: %s\nKeying material: ", wolfSSL_get_cipher(ssl));
    for (int i = 0; i < EXPORTED; i++)
        printf("%02x", exported[i]);
    printf("\n");

    char data[2048];
    int length, spoken = 0;
    do {
        if (!spoken && !server)
            spoken = wolfSSL_write(ssl, text, (int) strlen(text)) > 0;
        length = wolfSSL_read(ssl, data, sizeof data);
        if (length > 0)
            printf("Received: %.*s\n", length, data);
        if (length > 0 && !spoken)
            spoken = wolfSSL_write(ssl, text, (int) strlen(text)) > 0;
    } while (length > 0);
    printf("Closed: %s\n", wolfSSL_get_shutdown(ssl) & WOLFSSL_RECEIVED_SHUTDOWN ? "close_notify" : "otherwise");
    return 0;
}
