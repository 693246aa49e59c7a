/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The ioctls of a mounted secure memory card's control file.
 *
 * Made from the definitions of the crate smcard-ioctl; its tests compare the two.
 *
 * Every structure goes in and comes back in place. Fill "version" and the request
 * fields, leave the rest zero. Integers are in host byte order. No ioctl waits for
 * the card: AUTHENTICATE, TRANSMIT, START, CLEAR, CONFIRM and RESET return a ticket,
 * poll(2) reports POLLIN when a result is ready, RESULT fetches it.
 */
#ifndef SMCARD_H
#define SMCARD_H

#include <stdint.h>
#include <sys/ioctl.h>

/* Sizes, in bytes unless said otherwise. */
#define SMCARD_ABI_VERSION             1              /* goes into "version" of every request */
#define SMCARD_NAME_SIZE               256            /* a file name with its closing zero */
#define SMCARD_TEXT_SIZE               256            /* a line of text with its closing zero */
#define SMCARD_SHORT_COMMAND_MAX       261            /* longest short APDU */
#define SMCARD_SHORT_RESPONSE_MAX      258            /* longest short response, status word included */
#define SMCARD_EXTENDED_COMMAND_MAX    65544          /* longest extended APDU */
#define SMCARD_EXTENDED_RESPONSE_MAX   65538          /* longest extended response */
#define SMCARD_TICKETS_MAX             16             /* operations kept for one open file */

/* "capabilities" of smcard_version. */
#define SMCARD_CAP_EXTENDED            UINT64_C(0x1)  /* extended APDUs by write(2) and read(2) */
#define SMCARD_CAP_AUTHENTICATE        UINT64_C(0x2)  /* the daemon has keys */
#define SMCARD_CAP_POLL_STATE          UINT64_C(0x4)  /* POLLPRI = state changed since the last STATUS */
#define SMCARD_CAP_RECOVERY            UINT64_C(0x8)  /* START goes on where the power went */

/* "flags". */
#define SMCARD_TRANSMIT_EXTENDED       UINT32_C(0x1)  /* the command was written to this descriptor */
#define SMCARD_RESULT_MORE             UINT32_C(0x1)  /* read(2) gives the whole response */

/* "facts" of smcard_status. */
#define SMCARD_FACT_CONFIRM_NEEDED     UINT32_C(0x1)  /* CONFIRM before first use */
#define SMCARD_FACT_INTERRUPTED        UINT32_C(0x2)  /* an issue was interrupted */
#define SMCARD_FACT_CLEAR_POSSIBLE     UINT32_C(0x4)  /* an issue is unfinished; CLEAR takes it back */
#define SMCARD_FACT_OPERATOR           UINT32_C(0x8)  /* this open file may submit */
#define SMCARD_FACT_TEST_KEYS          UINT32_C(0x10) /* the keys are the well-known test keys */

/* "kept" of smcard_status and smcard_result. */
#define SMCARD_KEPT_UNKNOWN            UINT32_C(0xffffffff) /* the card did not say */

/* "card_state" of smcard_status. */
#define SMCARD_CARD_NONE               0              /* no card, or one that does not answer */
#define SMCARD_CARD_READY              1              /* waits for commands */
#define SMCARD_CARD_AUTHENTICATED      2              /* waits for commands, and a secure channel is open: batches can be written */
#define SMCARD_CARD_ISSUING            3              /* issues itself; nothing passes its interfaces meanwhile */
#define SMCARD_CARD_FAILED             4              /* the last issue ended with a failure; what came before it stays until CLEAR */
#define SMCARD_CARD_DONE               5              /* the last issue succeeded */

/* "selector" of smcard_start. */
#define SMCARD_SELECT_NONE             0              /* the store holds one batch */
#define SMCARD_SELECT_NAME             1              /* by name */
#define SMCARD_SELECT_ID               2              /* by identifier */

/* "failure_format" of smcard_start. */
#define SMCARD_FAILURE_DATA            0              /* count as four bytes of data, before the status word */
#define SMCARD_FAILURE_COUNTER         1              /* status word 63CX, X = count, where it fits */

/* "state" of smcard_result. */
#define SMCARD_STATE_DONE              1              /* the card answered, and where the operation asks for success, with success */
#define SMCARD_STATE_FAILED            2              /* the card said no, or did not answer ("result" tells which) */

/* "kind" of smcard_result. */
#define SMCARD_OP_AUTHENTICATE         1
#define SMCARD_OP_TRANSMIT             2
#define SMCARD_OP_START                3
#define SMCARD_OP_CLEAR                4
#define SMCARD_OP_CONFIRM              5
#define SMCARD_OP_RESET                6

/* The number before each field is its offset. */

/* VERSION: what the daemon speaks. Answers at once. 96 bytes. */
struct smcard_version {
	int32_t result;                 /*   0: answer: 0 */
	uint16_t version;               /*   4: request: SMCARD_ABI_VERSION; the only ioctl that takes any version */
	uint16_t flags;                 /*   6: request: 0 */
	uint32_t abi;                   /*   8: answer: version of this interface the daemon speaks */
	uint32_t max_short_command;     /*  12: answer: longest command TRANSMIT takes inside the structure, bytes */
	uint32_t max_command;           /*  16: answer: longest command TRANSMIT takes by write(2), bytes; 0 = none */
	uint32_t max_response;          /*  20: answer: longest response read(2) gives, bytes; 0 = none */
	uint64_t capabilities;          /*  24: answer: SMCARD_CAP_ bits */
	uint8_t server[64];             /*  32: answer: name and version of the daemon, closed and filled with zeros */
};

/* STATUS: where the card stands, from the daemon's memory. Answers at once, never asks the card. 592 bytes. */
struct smcard_status {
	int32_t result;                 /*   0: answer: 0 */
	uint16_t version;               /*   4: request: SMCARD_ABI_VERSION */
	uint16_t flags;                 /*   6: request: 0 */
	uint8_t card_state;             /*   8: answer: SMCARD_CARD_ value */
	uint8_t auth_level;             /*   9: answer: security level of the daemon's secure channel (GlobalPlatform: 01, 03, 33 ...); 0 = none */
	uint8_t life_cycle;             /*  10: answer: life cycle of the card (GlobalPlatform 2.3.1, table 11-6); 0 = not known */
	uint8_t reserved0;              /*  11: 0 */
	uint16_t last_sw;               /*  12: answer: status word of the last issue's answer; 0 = none yet */
	uint16_t reserved1;             /*  14: 0 */
	uint32_t facts;                 /*  16: answer: SMCARD_FACT_ bits */
	uint32_t given;                 /*  20: answer: commands of the last issue that the card was given, the failing one included */
	uint32_t total;                 /*  24: answer: commands the last issue's batch holds; 0 = not known */
	uint32_t kept;                  /*  28: answer: commands of the last issue whose effect stands on the card, from the first; SMCARD_KEPT_UNKNOWN */
	int32_t last_error;             /*  32: answer: transport error (errno) that ended the last issue; 0 = none */
	uint32_t reserved2;             /*  36: 0 */
	uint64_t elapsed_ms;            /*  40: answer: time the running issue has taken so far or the last one took, milliseconds */
	uint64_t free_bytes;            /*  48: answer: free bytes of protected memory */
	uint64_t exchanges;             /*  56: answer: exchanges with the card since it was mounted */
	uint64_t issue_exchanges;       /*  64: answer: exchanges of the last issue, its upload included */
	uint64_t issues;                /*  72: answer: issues that have ended since the card was mounted, well or badly */
	uint8_t line[256];              /*  80: answer: the line of the file "status", without line feed, closed and filled with zeros */
	uint8_t upload_error[256];      /* 336: answer: why the last upload was refused; empty after one that was taken */
};

/* RESULT: what became of an operation. EAGAIN while it runs, ENOENT where the ticket is not known. 312 bytes. */
struct smcard_result {
	int32_t result;                 /*   0: answer: transport error of the operation (errno); 0 = the card answered */
	uint16_t version;               /*   4: request: SMCARD_ABI_VERSION */
	uint16_t flags;                 /*   6: request: 0; answer: SMCARD_RESULT_MORE */
	uint64_t ticket;                /*   8: request: ticket */
	uint8_t state;                  /*  16: answer: SMCARD_STATE_ value */
	uint8_t kind;                   /*  17: answer: SMCARD_OP_ value, the kind of operation */
	uint16_t sw;                    /*  18: answer: status word; 0 where the card did not answer */
	uint32_t given;                 /*  20: answer: START: commands the card was given, the failing one included */
	uint32_t total;                 /*  24: answer: START: commands the batch holds; 0 = not known */
	uint32_t kept;                  /*  28: answer: START: commands whose effect stands on the card, from the first; SMCARD_KEPT_UNKNOWN */
	uint64_t exchanges;             /*  32: answer: exchanges with the card, for START those of the upload included */
	uint64_t nanoseconds;           /*  40: answer: time from submission to the answer */
	uint32_t response_length;       /*  48: answer: bytes of the whole response, data and status word */
	uint8_t response[258];          /*  52: answer: the response, data and status word, as far as it fits; filled with zeros */
	uint8_t reserved[2];            /* 310: 0 */
};

/* AUTHENTICATE: opens a secure channel with the card manager. Submits. 24 bytes. */
struct smcard_authenticate {
	int32_t result;                 /*   0: answer: 0 */
	uint16_t version;               /*   4: request: SMCARD_ABI_VERSION */
	uint16_t flags;                 /*   6: request: 0 */
	uint64_t ticket;                /*   8: answer: ticket of the operation */
	uint8_t level;                  /*  16: request: security level (GlobalPlatform Amendment D: 01, 03, 11, 13, 33); 0 = as configured */
	uint8_t key_version;            /*  17: request: key version number; 0 = as configured */
	uint8_t reserved[6];            /*  18: 0 */
};

/* TRANSMIT: one command APDU to the card. Submits. 280 bytes. */
struct smcard_transmit {
	int32_t result;                 /*   0: answer: 0 */
	uint16_t version;               /*   4: request: SMCARD_ABI_VERSION */
	uint16_t flags;                 /*   6: request: 0 or SMCARD_TRANSMIT_EXTENDED */
	uint64_t ticket;                /*   8: answer: ticket of the operation */
	uint16_t length;                /*  16: request: bytes of the command; 0 with SMCARD_TRANSMIT_EXTENDED */
	uint8_t command[261];           /*  18: request: the command, filled with zeros */
	uint8_t reserved;               /* 279: 0 */
};

/* START: the card issues itself from a batch in its protected memory. Submits. 288 bytes. */
struct smcard_start {
	int32_t result;                 /*   0: answer: 0 */
	uint16_t version;               /*   4: request: SMCARD_ABI_VERSION */
	uint16_t flags;                 /*   6: request: 0 */
	uint64_t ticket;                /*   8: answer: ticket of the operation */
	uint32_t offset;                /*  16: request: first byte of the batch within the file */
	uint32_t length;                /*  20: request: bytes the issuer may read from there; 0 = to the end of the file */
	uint16_t id;                    /*  24: request: file identifier; 0 without SMCARD_SELECT_ID */
	uint8_t selector;               /*  26: request: SMCARD_SELECT_ value */
	uint8_t failure_format;         /*  27: request: SMCARD_FAILURE_ value */
	uint32_t reserved;              /*  28: 0 */
	uint8_t name[256];              /*  32: request: file name, closed and filled with zeros; empty without SMCARD_SELECT_NAME */
};

/* CLEAR, CONFIRM, RESET: no more than the command itself. Submits. 16 bytes. */
struct smcard_submit {
	int32_t result;                 /*   0: answer: 0 */
	uint16_t version;               /*   4: request: SMCARD_ABI_VERSION */
	uint16_t flags;                 /*   6: request: 0 */
	uint64_t ticket;                /*   8: answer: ticket of the operation */
};

#define SMCARD_IOC_TYPE                0xc5
#define SMCARD_VERSION                 _IOWR(SMCARD_IOC_TYPE, 0x00, struct smcard_version)
#define SMCARD_STATUS                  _IOWR(SMCARD_IOC_TYPE, 0x01, struct smcard_status)
#define SMCARD_RESULT                  _IOWR(SMCARD_IOC_TYPE, 0x02, struct smcard_result)
#define SMCARD_AUTHENTICATE            _IOWR(SMCARD_IOC_TYPE, 0x10, struct smcard_authenticate)
#define SMCARD_TRANSMIT                _IOWR(SMCARD_IOC_TYPE, 0x11, struct smcard_transmit)
#define SMCARD_START                   _IOWR(SMCARD_IOC_TYPE, 0x12, struct smcard_start)
#define SMCARD_CLEAR                   _IOWR(SMCARD_IOC_TYPE, 0x13, struct smcard_submit)
#define SMCARD_CONFIRM                 _IOWR(SMCARD_IOC_TYPE, 0x14, struct smcard_submit)
#define SMCARD_RESET                   _IOWR(SMCARD_IOC_TYPE, 0x15, struct smcard_submit)

#endif /* SMCARD_H */
