import BlockStorage
import Glibc
import NBDProtocol
import Platform

/// A client's way to an export, and to its first lane unless all are lent.
///
/// Threads: the connection's.
struct Handshake {
    /// What a client that was admitted has.
    struct Admission {
        let export: ExportDescription
        let service: any BlockService
        /// Nil when all lanes are lent.
        let lane: (any BlockLane)?
        /// Wakes the connection's thread when it waits for tags or memory.
        let wakeup: EventFD
        /// Whether replies are structured.
        let isStructured: Bool
        /// Bytes that were received behind the handshake.
        let rest: [UInt8]
    }

    let state: ConnectionState
    /// What is behind each of the exports.
    let services: [any BlockService]
    let exports: [ExportDescription]
    let lender: LaneLender
    /// How long the handshake may take.
    let milliseconds: Int

    /// Negotiates until the client has chosen an export.
    /// - Parameter receiver: gets the completions of the lane.
    /// - Returns: nil when the connection is over; the log says why.
    func run(receiver: any BlockCompletionReceiver, log: inout ConnectionLog) -> Admission? {
        var socket = HandshakeSocket(state.descriptor, milliseconds: milliseconds)
        var negotiation = Negotiation(exports: exports)
        var claimed: (lane: (any BlockLane)?, wakeup: EventFD)?
        // Nobody else has it unless the client was admitted.
        defer { giveBack(claimed?.lane) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !state.isFinishing {
            guard socket.send(negotiation.output) else { return lose(socket, &log) }
            negotiation.output = []
            let count = socket.receive(into: &buffer)
            guard count > 0 else { return lose(socket, &log) }
            var refusal: (any Error)?
            let outcome = negotiation.receive(buffer[..<count]) { exportIndex in
                giveBack(claimed.take()?.lane)
                do { claimed = try claim(exportIndex, receiver: receiver) } catch { refusal = error }
                return refusal == nil
            }
            let detail = refusal.map { " (\($0))" } ?? ""
            log.write(negotiation.refusals, detail: detail)
            negotiation.refusals = []
            switch outcome {
            case .needsMore: continue
            case .close:
                if let reason = negotiation.closeReason {
                    log.writeEnd("was ended in its handshake: \(reason)\(detail)")
                }
                _ = socket.send(negotiation.output)
                return nil
            case .transmission(let index):
                // The client may send requests as soon as it has this answer.
                state.negotiated()
                guard socket.send(negotiation.output) else { return lose(socket, &log) }
                guard let (lane, wakeup) = claimed.take() else {
                    preconditionFailure("a client was admitted that nothing was claimed for")
                }
                return Admission(
                    export: exports[index], service: services[index], lane: lane, wakeup: wakeup,
                    isStructured: negotiation.isStructured, rest: negotiation.takeRest())
            }
        }
        return nil
    }

    /// Says why there is no client any more.
    /// - Returns: nil.
    private func lose(_ socket: HandshakeSocket, _ log: inout ConnectionLog) -> Admission? {
        if socket.isLate {
            log.writeEnd("was ended: its handshake took more than \(milliseconds) ms")
        } else if !state.isFinishing, !state.isCutOff {
            log.writeEnd("was lost in its handshake: the client closed it without NBD_OPT_ABORT")
        }
        return nil
    }

    private func giveBack(_ lane: (any BlockLane)?) {
        guard let lane else { return }
        lane.close()
        lender.giveBack()
    }

    /// Claims what a client of an export needs, before the client is told that it is accepted. If all lanes are lent,
    /// it gets one later.
    private func claim(
        _ exportIndex: Int, receiver: any BlockCompletionReceiver
    ) throws -> (lane: (any BlockLane)?, wakeup: EventFD) {
        let wakeup = try EventFD()
        guard Headroom.isLeft(after: wakeup.descriptor) else {
            throw OSError(code: EMFILE, doing: "serve one more client")
        }
        let lane = try lender.borrow(for: nil, isItsTurn: false) {
            try services[exportIndex].makeLane(receiver: receiver)
        }
        return (lane, wakeup)
    }
}
