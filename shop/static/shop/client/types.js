// What the service sends, as far as this library names it. Complete and with examples: /api-docs and docs/asyncapi.yaml.

/**
 * @typedef {object} EventInList
 * @property {string} id
 * @property {string} title
 * @property {string | null} description
 * @property {string} venue
 * @property {string | null} address
 * @property {string} event_date
 * @property {string} sale_start_date
 * @property {string} sale_end_date
 * @property {string | null} poster_image_url
 * @property {"upcoming" | "on_sale" | "sold_out" | "ended" | "cancelled"} status
 * @property {string | null} artist_name
 * @property {string} ticket_type_count digits
 * @property {number | null} min_price won
 * @property {number | null} max_price won
 */

/**
 * @typedef {object} TicketType
 * @property {string} id
 * @property {string} name
 * @property {number} price won
 * @property {number} total_quantity
 * @property {number} available_quantity
 * @property {string | null} description
 */

/**
 * @typedef {object} Seat
 * @property {string} id
 * @property {string} section
 * @property {number} row_number
 * @property {number} seat_number
 * @property {string} seat_label
 * @property {number} price won
 * @property {string} status `available`, `locked` or `sold` (`reserved` for old clients)
 */

/**
 * @typedef {object} SeatMapSnapshot
 * @property {{id: string, title: string}} event
 * @property {{sections?: any[]}} layout
 * @property {Seat[]} seats
 * @property {number} version
 */

/**
 * @typedef {object} SeatChange
 * @property {"seat-locked" | "seat-released" | "seat-sold"} type
 * @property {string} eventId
 * @property {string} seatId
 * @property {string} status
 * @property {number} version
 * @property {string} timestamp
 */

/**
 * @typedef {object} StockMessage
 * @property {string} eventId
 * @property {string} ticketTypeId
 * @property {number} availableQuantity
 * @property {number} totalQuantity
 * @property {string} timestamp
 */

/**
 * @typedef {object} QueueStatus
 * @property {boolean} queued
 * @property {"waiting" | "active" | "none"} state
 * @property {number | null} [position]
 * @property {number} queueSize
 * @property {number} [estimatedWait] seconds
 * @property {[number, number | null]} [estimatedWaitRange]
 * @property {boolean} [estimateIsMeasured]
 * @property {boolean} [isPaused]
 * @property {boolean} [isAdmitting]
 * @property {string} [opensAt]
 * @property {number} currentUsers
 * @property {number} threshold
 * @property {string} [pass]
 * @property {string | null} [passExpiresAt]
 * @property {string} [ticket]
 */

/**
 * @typedef {object} ReservedSeats
 * @property {string} id
 * @property {string} reservationNumber
 * @property {number} totalAmount won
 * @property {string} expiresAt until when it is held unpaid
 * @property {{id: string, seat_label: string, price: number, status: string}[]} seats
 */

/**
 * @typedef {object} Hold
 * @property {string} id
 * @property {string} reservationNumber
 * @property {number} totalAmount
 * @property {string} status
 * @property {string} expiresAt
 * @property {string} latestExpiresAt no extension goes beyond it
 * @property {boolean} isBeingPaid
 */

/**
 * @typedef {object} Waitlist
 * @property {string} eventId
 * @property {string} state
 * @property {number | null} position
 * @property {number} quantity
 * @property {string | null} section
 * @property {string | null} ticketTypeId
 * @property {string | null} joinedAt
 * @property {{reservationId: string, reservationNumber: string, totalAmount: number, expiresAt: string} | null} offer
 */

export {};
