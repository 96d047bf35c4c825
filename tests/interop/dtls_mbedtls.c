/* One DTLS 1.2 connection with Mbed TLS, for the tests of this folder. A server serves the first address that sends.

   cc -o dtls_mbedtls dtls_mbedtls.c -lmbedtls -lmbedx509 -lmbedcrypto
   dtls_mbedtls client|server PORT CERTIFICATE.pem KEY.pem SUITE MTU GROUP TEXT

   SUITE is a name of its own or "", MTU 0 for the default, GROUP a name as x25519 or "". It prints the exported keying
   material, sends TEXT (a server once it was spoken to) and prints what it receives until it is told to close. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/timing.h>

#define EXPORTED 60

static unsigned char exported[EXPORTED];

static void check(int result, const char *what)
{
    if (result < 0) {
        printf("%s: -0x%04x\n", what, -result);
        exit(1);
    }
}

static int export_keys(void *unused, const unsigned char *master, const unsigned char *block, size_t mac, size_t key,
                       size_t iv, const unsigned char client_random[32], const unsigned char server_random[32],
                       mbedtls_tls_prf_types prf)
{
    unsigned char randoms[64];

    (void) unused, (void) block, (void) mac, (void) key, (void) iv;
    memcpy(randoms, client_random, 32);
    memcpy(randoms + 32, server_random, 32);
    return mbedtls_ssl_tls_prf(prf, master, 48, "EXTRACTOR-dtls_srtp", randoms, sizeof randoms, exported, EXPORTED);
}

int main(int count, char **arguments)
{
    setbuf(stdout, NULL);
    if (count != 9)
        return 2;
    int server = !strcmp(arguments[1], "server");
    const char *port = arguments[2], *text = arguments[8];
    int suites[] = {0, 0};
    mbedtls_ecp_group_id groups[] = {MBEDTLS_ECP_DP_NONE, MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_NONE};

    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
    mbedtls_ssl_config config;
    mbedtls_ssl_cookie_ctx cookies;
    mbedtls_ssl_context ssl;
    mbedtls_timing_delay_context timer;
    mbedtls_net_context net, listening;

    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    check(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0), "seed");
    mbedtls_x509_crt_init(&certificate);
    check(mbedtls_x509_crt_parse_file(&certificate, arguments[3]), "certificate");
    mbedtls_pk_init(&key);
    check(mbedtls_pk_parse_keyfile(&key, arguments[4], NULL), "key");

    mbedtls_ssl_config_init(&config);
    check(mbedtls_ssl_config_defaults(&config, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                      MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT), "config");
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    check(mbedtls_ssl_conf_own_cert(&config, &certificate, &key), "own certificate");
    mbedtls_ssl_conf_ca_chain(&config, &certificate, NULL);
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_OPTIONAL); /* a server asks for ours, and takes any */
    mbedtls_ssl_conf_export_keys_ext_cb(&config, export_keys, NULL);
    mbedtls_ssl_conf_read_timeout(&config, 5000);
    mbedtls_ssl_conf_handshake_timeout(&config, 200, 2000);
    if (*arguments[5]) {
        suites[0] = mbedtls_ssl_get_ciphersuite_id(arguments[5]);
        mbedtls_ssl_conf_ciphersuites(&config, suites);
    }
    if (*arguments[7]) {
        groups[0] = mbedtls_ecp_curve_info_from_name(arguments[7])->grp_id;
        mbedtls_ssl_conf_curves(&config, groups); /* P-256 too, for certificates */
    }

    mbedtls_net_init(&net);
    if (server) {
        unsigned char from[16];
        size_t length;
        mbedtls_net_init(&listening);
        check(mbedtls_net_bind(&listening, "127.0.0.1", port, MBEDTLS_NET_PROTO_UDP), "bind");
        check(mbedtls_net_accept(&listening, &net, from, sizeof from, &length), "accept");
        mbedtls_ssl_cookie_init(&cookies);
        check(mbedtls_ssl_cookie_setup(&cookies, mbedtls_ctr_drbg_random, &random), "cookies");
        mbedtls_ssl_conf_dtls_cookies(&config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &cookies);
    } else {
        check(mbedtls_net_connect(&net, "127.0.0.1", port, MBEDTLS_NET_PROTO_UDP), "connect");
    }

    mbedtls_ssl_init(&ssl);
    check(mbedtls_ssl_setup(&ssl, &config), "setup");
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
    mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
    if (atoi(arguments[6]))
        mbedtls_ssl_set_mtu(&ssl, (uint16_t) atoi(arguments[6]));

    int result;
    do { /* once more after the hello without a cookie */
        check(mbedtls_ssl_session_reset(&ssl), "reset");
        if (server)
            check(mbedtls_ssl_set_client_transport_id(&ssl, (const unsigned char *) "peer", 4), "peer");
        while ((result = mbedtls_ssl_handshake(&ssl)) == MBEDTLS_ERR_SSL_WANT_READ ||
               result == MBEDTLS_ERR_SSL_WANT_WRITE)
            ;
    } while (result == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED);
    check(result, "handshake");
    printf("Suite: %s\nKeying material: ", mbedtls_ssl_get_ciphersuite(&ssl));
    for (int i = 0; i < EXPORTED; i++)
        printf("%02x", exported[i]);
    printf("\n");

    unsigned char data[2048];
    int length, spoken = 0;
    do {
        if (!spoken && !server)
            spoken = mbedtls_ssl_write(&ssl, (const unsigned char *) text, strlen(text)) > 0;
        length = mbedtls_ssl_read(&ssl, data, sizeof data);
        if (length > 0)
            printf("Received: %.*s\n", length, data);
        if (length > 0 && !spoken)
            spoken = mbedtls_ssl_write(&ssl, (const unsigned char *) text, strlen(text)) > 0;
    } while (length > 0 || length == MBEDTLS_ERR_SSL_WANT_READ);
    printf("Closed: %s\n", length == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ? "close_notify" : "otherwise");
    return 0;
}
