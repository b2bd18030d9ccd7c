/*
 * tls13.c - see tls13.h. The section numbers are those of RFC 8446.
 */
#define OPENSSL_SUPPRESS_DEPRECATED      /* the low-level calls are the cheap ones */
#include "tls13.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23 };
enum { MESSAGE_SERVER_HELLO = 2, MESSAGE_CERTIFICATE_REQUEST = 13, MESSAGE_FINISHED = 20 };
enum { GROUP_P256 = 0x0017, GROUP_X25519 = 0x001d };
enum { EXTENSION_KEY_SHARE = 51 };

/* What protects one direction. */
struct cipher {
    EVP_CIPHER_CTX *context;
    uint8_t iv[12];
    uint64_t sequence;
};

struct tls13 {
    enum { WANTS_HELLO, WANTS_FINISHED, IS_UP } state;
    int wants_certificate;          /* the server asks for one */
    SHA256_CTX transcript;
    uint8_t handshake_secret[32], client_secret[32];
    struct cipher receiving, sending;
    uint8_t header[4];              /* of the handshake message that is coming in */
    int header_size;
    uint32_t message_left;
};

static EVP_PKEY_CTX *x25519;
static EC_GROUP *p256;
static BIGNUM *p256_private, *affine_x;
static BN_CTX *numbers;
static EC_POINT *peer_point, *product;
static uint8_t x25519_public[32], p256_public[65];
static EVP_CIPHER *aes;

int tls13_init(void)
{
    size_t size = sizeof x25519_public;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    if (!key || EVP_PKEY_get_raw_public_key(key, x25519_public, &size) <= 0)
        return -1;
    x25519 = EVP_PKEY_CTX_new(key, NULL);
    if (!x25519 || EVP_PKEY_derive_init(x25519) <= 0)
        return -1;
    EC_KEY *curve_key = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    if (!p256 || !curve_key || !EC_KEY_generate_key(curve_key))
        return -1;
    p256_private = BN_dup(EC_KEY_get0_private_key(curve_key));
    numbers = BN_CTX_new();
    affine_x = BN_new();
    peer_point = EC_POINT_new(p256);
    product = EC_POINT_new(p256);
    if (EC_POINT_point2oct(p256, EC_KEY_get0_public_key(curve_key), POINT_CONVERSION_UNCOMPRESSED,
                           p256_public, sizeof p256_public, numbers) != sizeof p256_public)
        return -1;
    EC_KEY_free(curve_key);
    aes = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    return aes ? 0 : -1;
}

static void hmac(const uint8_t key[32], const uint8_t *data, size_t size, uint8_t result[32])
{
    uint8_t pad[64] = { 0 };
    SHA256_CTX hash;
    memcpy(pad, key, 32);
    for (int i = 0; i < 64; i++)
        pad[i] ^= 0x36;
    SHA256_Init(&hash);
    SHA256_Update(&hash, pad, 64);
    SHA256_Update(&hash, data, size);
    SHA256_Final(result, &hash);
    for (int i = 0; i < 64; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&hash);
    SHA256_Update(&hash, pad, 64);
    SHA256_Update(&hash, result, 32);
    SHA256_Final(result, &hash);
}

/* HKDF-Expand-Label, 7.1. The context is a hash, or nothing. */
static void expand(const uint8_t secret[32], const char *label, const uint8_t *context,
                   uint8_t *result, size_t size)
{
    uint8_t info[96], block[32];
    size_t length = strlen(label), n = 0;
    info[n++] = 0;
    info[n++] = size;
    info[n++] = 6 + length;
    memcpy(info + n, "tls13 ", 6);
    memcpy(info + n + 6, label, length);
    n += 6 + length;
    info[n++] = context ? 32 : 0;
    if (context) {
        memcpy(info + n, context, 32);
        n += 32;
    }
    info[n++] = 1;
    hmac(secret, info, n, block);
    memcpy(result, block, size);
}

/* Traffic keys, 7.3. */
static void set_keys(struct cipher *cipher, const uint8_t secret[32], int encrypts)
{
    uint8_t key[16];
    expand(secret, "key", NULL, key, sizeof key);
    expand(secret, "iv", NULL, cipher->iv, sizeof cipher->iv);
    if (!cipher->context)
        cipher->context = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(cipher->context, aes, NULL, key, NULL, encrypts);
    cipher->sequence = 0;
}

/* 5.3 */
static void next_nonce(struct cipher *cipher, uint8_t nonce[12])
{
    memcpy(nonce, cipher->iv, 12);
    for (int i = 0; i < 8; i++)
        nonce[11 - i] ^= (uint8_t)(cipher->sequence >> (8 * i));
    cipher->sequence++;
}

/* 5.2 */
static void add_record(struct tls13 *tls, uint8_t type, const void *data, size_t size,
                       struct octets *out)
{
    uint8_t nonce[12], *record = octets_room(out, size + 22), *body = record + 5;
    size_t protected = size + 17;
    int n;
    record[0] = RECORD_DATA;
    record[1] = record[2] = 3;
    record[3] = protected >> 8;
    record[4] = protected;
    EVP_CIPHER_CTX *context = tls->sending.context;
    next_nonce(&tls->sending, nonce);
    EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce);
    EVP_EncryptUpdate(context, NULL, &n, record, 5);
    EVP_EncryptUpdate(context, body, &n, data, size);
    EVP_EncryptUpdate(context, body + size, &n, &type, 1);
    EVP_EncryptFinal_ex(context, body + size + 1, &n);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, body + size + 1);
    octets_wrote(out, 5 + protected);
}

void tls13_send(struct tls13 *tls, const void *data, size_t size, struct octets *out)
{
    add_record(tls, RECORD_DATA, data, size, out);
}

/* Decrypt a record in place: its inner type, or -1. */
static int open_record(struct tls13 *tls, uint8_t *record, size_t record_size, size_t *size)
{
    uint8_t nonce[12], *body = record + 5;
    if (record_size < 5 + 17)
        return -1;
    size_t n = record_size - 5 - 16;
    int done;
    EVP_CIPHER_CTX *context = tls->receiving.context;
    next_nonce(&tls->receiving, nonce);
    EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, body + n);
    EVP_DecryptUpdate(context, NULL, &done, record, 5);
    EVP_DecryptUpdate(context, body, &done, body, n);
    if (EVP_DecryptFinal_ex(context, body + n, &done) <= 0)
        return -1;
    while (n && !body[n - 1])       /* padding */
        n--;
    if (!n)
        return -1;
    *size = n - 1;
    return body[n - 1];
}

static uint8_t *put16(uint8_t *p, unsigned value)
{
    p[0] = value >> 8;
    p[1] = value;
    return p + 2;
}

static unsigned get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

void tls13_start(struct tls13 **made, struct octets *out)
{
    /* supported_versions, supported_groups, signature_algorithms, psk_key_exchange_modes */
    static const uint8_t extensions[] = {
        0, 43, 0, 3, 2, 3, 4,
        0, 10, 0, 6, 0, 4, 0, 0x1d, 0, 0x17,
        0, 13, 0, 18, 0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1,
        0, 45, 0, 2, 1, 1,
    };
    if (!*made && !(*made = calloc(1, sizeof **made))) {
        perror("calloc");
        exit(1);
    }
    struct tls13 *tls = *made;
    tls->state = WANTS_HELLO;
    tls->wants_certificate = tls->header_size = 0;
    uint8_t *record = octets_room(out, 512), *p = record + 9;
    p = put16(p, 0x0303);
    RAND_bytes(p, 32);
    p += 32;
    *p++ = 0;                       /* no session */
    p = put16(p, 2);
    p = put16(p, 0x1301);           /* TLS_AES_128_GCM_SHA256 */
    *p++ = 1;
    *p++ = 0;                       /* no compression */
    uint8_t *size = p;
    p += 2;
    memcpy(p, extensions, sizeof extensions);
    p += sizeof extensions;
    p = put16(p, EXTENSION_KEY_SHARE);
    p = put16(p, 2 + 4 + 32 + 4 + 65);
    p = put16(p, 4 + 32 + 4 + 65);
    p = put16(put16(p, GROUP_X25519), 32);
    memcpy(p, x25519_public, 32);
    p = put16(put16(p + 32, GROUP_P256), 65);
    memcpy(p, p256_public, 65);
    p += 65;
    put16(size, p - size - 2);
    record[0] = RECORD_HANDSHAKE;
    put16(record + 1, 0x0301);
    put16(record + 3, p - record - 5);
    record[5] = 1;                  /* client_hello */
    record[6] = 0;
    put16(record + 7, p - record - 9);
    SHA256_Init(&tls->transcript);
    SHA256_Update(&tls->transcript, record + 5, p - record - 5);
    octets_wrote(out, p - record);
}

static int agree(unsigned group, const uint8_t *share, size_t size, uint8_t secret[32])
{
    if (group == GROUP_X25519 && size == 32) {
        size_t length = 32;
        EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, share, 32);
        int is_done = peer && EVP_PKEY_derive_set_peer_ex(x25519, peer, 0) > 0 &&
                      EVP_PKEY_derive(x25519, secret, &length) > 0;
        EVP_PKEY_free(peer);
        return is_done ? 0 : -1;
    }
    if (group != GROUP_P256 || size != 65)
        return -1;
    if (!EC_POINT_oct2point(p256, peer_point, share, size, numbers) ||
        !EC_POINT_mul(p256, product, NULL, peer_point, p256_private, numbers) ||
        !EC_POINT_get_affine_coordinates(p256, product, affine_x, NULL, numbers))
        return -1;
    return BN_bn2binpad(affine_x, secret, 32) == 32 ? 0 : -1;
}

/* 4.1.3: find the server's key share, and agree on a secret. */
static int read_server_hello(const uint8_t *message, size_t size, uint8_t secret[32])
{
    if (size < 44 || message[0] != MESSAGE_SERVER_HELLO)
        return -1;
    const uint8_t *end = message + size, *p = message + 4 + 2 + 32;
    p += 1 + p[0];
    if (p + 5 > end || get16(p) != 0x1301)
        return -1;
    p += 5;                         /* suite, compression, size of the extensions */
    while (p + 4 <= end) {
        unsigned type = get16(p), length = get16(p + 2);
        p += 4;
        if (p + length > end)
            return -1;
        if (type == EXTENSION_KEY_SHARE && length > 4 && get16(p + 2) == length - 4)
            return agree(get16(p), p + 4, length - 4, secret);
        p += length;
    }
    return -1;
}

static void transcript_hash(const struct tls13 *tls, uint8_t hash[32])
{
    SHA256_CTX copy = tls->transcript;
    SHA256_Final(hash, &copy);
}

/* The key schedule as far as the handshake's keys, 7.1. */
static int take_server_hello(struct tls13 *tls, const uint8_t *message, size_t size)
{
    static const uint8_t zero[32];
    uint8_t shared[32], hash[32], early[32], derived[32], empty[32], server_secret[32];
    if (read_server_hello(message, size, shared))
        return -1;
    SHA256_Update(&tls->transcript, message, size);
    SHA256(NULL, 0, empty);
    hmac(zero, zero, 32, early);
    expand(early, "derived", empty, derived, 32);
    hmac(derived, shared, 32, tls->handshake_secret);
    transcript_hash(tls, hash);
    expand(tls->handshake_secret, "c hs traffic", hash, tls->client_secret, 32);
    expand(tls->handshake_secret, "s hs traffic", hash, server_secret, 32);
    set_keys(&tls->receiving, server_secret, 0);
    tls->state = WANTS_FINISHED;
    return 0;
}

/* The server has finished: so do we, and go over to the application's keys. */
static void finish(struct tls13 *tls, struct octets *out)
{
    static const uint8_t zero[32];
    static const uint8_t no_certificate[8] = { 11, 0, 0, 4, 0, 0, 0, 0 };
    uint8_t until_server[32], hash[32], key[32], message[36] = { MESSAGE_FINISHED, 0, 0, 32 };
    uint8_t empty[32], derived[32], master[32], client_secret[32], server_secret[32];
    transcript_hash(tls, until_server);
    set_keys(&tls->sending, tls->client_secret, 1);
    if (tls->wants_certificate) {
        add_record(tls, RECORD_HANDSHAKE, no_certificate, sizeof no_certificate, out);
        SHA256_Update(&tls->transcript, no_certificate, sizeof no_certificate);
    }
    transcript_hash(tls, hash);
    expand(tls->client_secret, "finished", NULL, key, 32);
    hmac(key, hash, 32, message + 4);
    add_record(tls, RECORD_HANDSHAKE, message, sizeof message, out);
    SHA256(NULL, 0, empty);
    expand(tls->handshake_secret, "derived", empty, derived, 32);
    hmac(derived, zero, 32, master);
    expand(master, "c ap traffic", until_server, client_secret, 32);
    expand(master, "s ap traffic", until_server, server_secret, 32);
    set_keys(&tls->sending, client_secret, 1);
    set_keys(&tls->receiving, server_secret, 0);
    tls->state = IS_UP;
}

/* Octets of the server's encrypted flight, which may come in any pieces. */
static enum tls13_event take_flight(struct tls13 *tls, const uint8_t *data, size_t size,
                                    struct octets *out)
{
    while (size) {
        size_t n = 1;
        if (tls->header_size < 4) {
            tls->header[tls->header_size++] = *data;
            if (tls->header_size == 4)
                tls->message_left = tls->header[1] << 16 | get16(tls->header + 2);
        } else {
            n = size < tls->message_left ? size : tls->message_left;
            tls->message_left -= n;
        }
        SHA256_Update(&tls->transcript, data, n);
        data += n;
        size -= n;
        if (tls->header_size < 4 || tls->message_left)
            continue;
        tls->header_size = 0;
        if (tls->header[0] == MESSAGE_CERTIFICATE_REQUEST)
            tls->wants_certificate = 1;
        if (tls->header[0] == MESSAGE_FINISHED) {
            finish(tls, out);
            return TLS13_UP;
        }
    }
    return TLS13_NOTHING;
}

enum tls13_event tls13_take(struct tls13 *tls, uint8_t *record, size_t record_size,
                            struct octets *out, uint8_t **data, size_t *size)
{
    if (record[0] == RECORD_HANDSHAKE && tls->state == WANTS_HELLO)
        return take_server_hello(tls, record + 5, record_size - 5) ? TLS13_BROKEN : TLS13_NOTHING;
    if (record[0] == RECORD_ALERT)
        return TLS13_CLOSED;
    if (record[0] != RECORD_DATA || tls->state == WANTS_HELLO)
        return TLS13_NOTHING;       /* change_cipher_spec, for middleboxes */
    *data = record + 5;
    switch (open_record(tls, record, record_size, size)) {
    case RECORD_DATA:
        return TLS13_DATA;
    case RECORD_HANDSHAKE:          /* after the handshake: tickets */
        return tls->state == IS_UP ? TLS13_NOTHING : take_flight(tls, *data, *size, out);
    case RECORD_ALERT:
        return TLS13_CLOSED;
    default:
        return TLS13_BROKEN;
    }
}
