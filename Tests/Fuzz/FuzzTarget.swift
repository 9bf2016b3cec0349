import ArrayStore
import CDriverKit
import Control
import HBAProfiles
import HostileInput
import MDFormat
import NBDProtocol
import Platform
import RAID
import SCSIControllerDriverKit
import StackModel
import Statistics

/// Readers of bytes that somebody else wrote. Each may refuse what it gets, in bounded time and memory.
enum FuzzTarget: String, CaseIterable {
    /// Superblocks, bitmaps, logs and sizes of an array's members.
    case metadata
    /// What a client sends: the handshake, then requests.
    case nbd
    /// The file of an interrupted check.
    case job
    /// A driver's profile, and what follows from it.
    case profile
    /// The file that names a remote member.
    case uri
    /// Requests to a server's control socket, its replies, and the reports of these.
    case control
    /// Registry properties of a driver's process.
    case properties
    /// Packets of a driver's process: questions, answers, reports.
    case link
    /// The ring of messages that a driver's process writes to.
    case ring

    func run(_ bytes: [UInt8]) {
        switch self {
        case .metadata: Self.metadata(bytes)
        case .nbd: Self.nbd(bytes)
        case .job: Self.job(bytes)
        case .profile: Self.profile(bytes)
        case .uri: _ = LinkedMember.uri(in: bytes)
        case .control: Self.control(bytes)
        case .properties: Self.properties(bytes)
        case .link: Self.link(bytes)
        case .ring: Self.ring(bytes)
        }
    }

    /// Two bytes say which array; then each 12 bytes are a change.
    private static func metadata(_ bytes: [UInt8]) {
        guard bytes.count >= 2 else { return }
        let kinds = MetadataImage.kinds
        guard
            let image = try? MetadataImage(
                kinds[Int(bytes[0]) % kinds.count], isDirty: bytes[0] & 16 != 0, isRebuilding: bytes[0] & 32 != 0)
        else { return }
        if let cut = MetadataImage.HalfDone(rawValue: Int(bytes[1] >> 3 & 3)) {
            try? image.cut(cut, told: Int(bytes[1] >> 5 & 7) | Int(bytes[0] >> 4 & 8))
        }
        for start in stride(from: 2, to: min(bytes.count, 2 + 12 * 16) - 11, by: 12) {
            try? image.apply(change(bytes[start..<start + 12]))
        }
        image.repairChecksums()
        let missing = Int(bytes[1] & 7)
        let members = image.members.enumerated().filter { $0.offset != missing }.map(\.element)
        let outcome = MetadataTrial.run(members, force: bytes[0] & 64 != 0)
        precondition(!outcome.hasWritten, "written although refused: \(outcome.refusal ?? "only looked at")")
    }

    private static func change(_ bytes: ArraySlice<UInt8>) -> MetadataChange {
        let bytes = Array(bytes)
        let areas = MetadataChange.Area.allCases
        let member = Int(bytes[0] & 7)
        return MetadataChange(
            member: member < 4 ? member : nil, area: areas[Int(bytes[0] >> 3) % areas.count],
            offset: Int(bytes[1]) | Int(bytes[2] & 63) << 8, width: 1 << Int(bytes[3] & 3),
            value: bytes[4...].reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }

    private static func nbd(_ bytes: [UInt8]) {
        let export = ExportDescription(
            name: "a", description: "an array", byteCount: 1 << 30, preferredBlockByteCount: 65536, isReadOnly: false,
            supportsTrim: true)
        var handshake = Negotiation(exports: [export, export])
        for start in stride(from: 0, to: bytes.count, by: 37) {
            let rest = bytes[start...]
            switch handshake.receive(rest.prefix(37), admitting: { _ in true }) {
            case .needsMore:
                handshake.output = []
                handshake.refusals = []
            case .transmission: return requests(handshake.takeRest() + rest.dropFirst(37), export)
            default: return
            }
        }
    }

    private static func requests(_ bytes: [UInt8], _ export: ExportDescription) {
        bytes.withUnsafeBytes { bytes in
            var position = 0
            while bytes.count - position >= NBD.requestByteCount {
                guard let header = RequestHeader(parsing: bytes.baseAddress! + position) else { return }
                for isStructured in [false, true] {
                    let refusal = header.validate(for: export, isStructured: isStructured)
                    _ = refusal?.text(of: header, to: export)
                    precondition(refusal != nil || header.byteOffset + UInt64(header.byteCount) <= export.byteCount)
                }
                position += NBD.requestByteCount + header.payloadByteCount
            }
        }
    }

    private static func job(_ bytes: [UInt8]) {
        let geometry = ArrayGeometry(
            level: .raid5, memberCount: 3, chunkByteCount: 65536, memberDataByteCount: 1 << 30, dataByteOffset: 1 << 20)
        let text = String(decoding: bytes, as: UTF8.self)
        guard let record = JobFile.parse(text, uuid: String(repeating: "0", count: 32), geometry) else { return }
        MetadataTrial.go(on: record, geometry)
    }

    private static func profile(_ bytes: [UInt8]) {
        guard let profile = try? HBAProfile(json: bytes, source: "fuzz") else { return }
        for (offset, size) in [(UInt64(0), UInt64(512)), (777, 10 << 20), (1 << 40, 128 << 10)] {
            for isWrite in [false, true] {
                let explanation = try? RequestExplanation(
                    profile: profile, byteOffset: offset, byteCount: size, isWrite: isWrite)
                _ = explanation?.text
            }
        }
    }

    private static func control(_ bytes: [UInt8]) {
        if let request = try? JSONText.decode(ControlRequest.self, from: bytes) { agree(request) }
        guard let reply = try? JSONText.decode(ControlReply.self, from: bytes) else { return }
        switch reply {
        case .statistics(let snapshot):
            agree(snapshot)
            show(snapshot)
        case .status(let array):
            _ = array.text(directory: "fuzz")
            precondition((try? JSONText.line(array)) != nil)
        case .registry(let tree): _ = tree.text
        case .done, .refused: agree(reply)
        }
    }

    /// A message comes back from its JSON as it was.
    private static func agree<Message: Codable & Equatable>(_ message: Message) {
        let bytes = try? JSONText.encode(message)
        precondition(bytes.flatMap { try? JSONText.decode(Message.self, from: $0) } == message)
    }

    /// Everything that a command does with a server's statistics.
    private static func show(_ snapshot: StatisticsSnapshot) {
        var doubled = snapshot
        doubled.nanoseconds /= 2
        for interval in [snapshot, snapshot.since(doubled)] {
            _ = TopReport.lines(of: interval, columns: 60)
            _ = interval.prometheus
            precondition((try? JSONText.line(TopReport.JSON(interval, total: snapshot))) != nil)
            for job in interval.arrays.compactMap(\.job) { precondition((0...100).contains(job.percent)) }
        }
    }

    private static func properties(_ bytes: [UInt8]) {
        guard let dictionary = PropertyCoder.decode(bytes) else { return }
        precondition(PropertyCoder.decode(PropertyCoder.encode(dictionary)) == dictionary)
    }

    private static func link(_ bytes: [UInt8]) {
        guard let packet = ControlLink.parse(bytes[...]) else { return }
        for index in -1...8 where index >= 0 { _ = packet.message[index] }
        let lines = ForeignText.lines(bytes: packet.message.payload, countMax: 200)
        precondition(lines.count <= 200 && lines.allSatisfy { $0.unicodeScalars.allSatisfy(ForeignText.isFit) })
        if let error = DriverStartError(packet.message) {
            precondition("\(error)".unicodeScalars.allSatisfy(ForeignText.isFit))
        }
        properties(packet.message.payload)
    }

    // SAFETY: the fuzzer has one thread.
    private nonisolated(unsafe) static let channel: UnsafeMutableRawBufferPointer = {
        let size = nbdext_channel_size(1)
        return .allocate(byteCount: size, alignment: 4096)
    }()

    /// Eight bytes are the indices, the rest is what lies in the ring.
    private static func ring(_ bytes: [UInt8]) {
        guard bytes.count >= 8, let base = channel.baseAddress else { return }
        channel.initializeMemory(as: UInt8.self, repeating: 0)
        let ring = nbdext_channel_to_kernel(base, 0)!
        // The ring's own fields are set below; around them lies what was sent.
        let place = UnsafeMutableRawPointer(ring)
        let room = channel.count - (place - base)
        bytes.dropFirst(8).withUnsafeBytes { source in
            var position = 0
            while position < room && !source.isEmpty {
                let count = min(source.count, room - position)
                (place + position).copyMemory(from: source.baseAddress!, byteCount: count)
                position += count
            }
        }
        let words = bytes.withUnsafeBytes {
            ($0.loadUnaligned(as: UInt32.self), $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        }
        nbdext_ring_set_indices(ring, words.0, words.1)
        var message = nbdext_message()
        var count = 0
        while nbdext_ring_take(ring, &message) > 0 {
            count += 1
            precondition(count <= 1 << 16, "a ring gives no more than it has")
            _ = nbdext_message_kind(message.kind)
        }
        precondition(nbdext_ring_count(ring) == 0)
    }
}
