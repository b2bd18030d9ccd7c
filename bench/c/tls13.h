/*
 * tls13.h - just enough of a TLS 1.3 client to put load on servers.
 *
 * NOT for any real use: it checks nothing (no certificate, no signature, not even the
 * server's Finished), and all its connections have the same keys. That makes it several times
 * cheaper than a server, which is what a load generator needs. It offers
 * TLS_AES_128_GCM_SHA256 and sends key shares for X25519 and P-256 at once, so that no server
 * has to ask again. Resumption is not offered: each handshake is a full one.
 */
#ifndef TLS13_H
#define TLS13_H

#include "octets.h"

struct tls13;

/* What a record was. */
enum tls13_event {
    TLS13_NOTHING,      /* nothing that matters here */
    TLS13_UP,           /* the end of the handshake */
    TLS13_DATA,
    TLS13_CLOSED,       /* an alert */
    TLS13_BROKEN,
};

/* Make the keys that all connections use: 0, or -1. */
int tls13_init(void);

/* Begin a connection: a ClientHello is added to out. *tls is made if it is NULL. */
void tls13_start(struct tls13 **tls, struct octets *out);

/*
 * Take a whole record, its header of 5 octets included; it is decrypted in place, and what
 * has to be answered is added to out. With TLS13_DATA, data and size say where the octets are.
 */
enum tls13_event tls13_take(struct tls13 *tls, uint8_t *record, size_t record_size,
                            struct octets *out, uint8_t **data, size_t *size);

/* Add data, at most 16384 octets, to out as one record. */
void tls13_send(struct tls13 *tls, const void *data, size_t size, struct octets *out);

#endif
