import ArrayStore
import HBAProfiles
import HostileInput
import NBDProtocol
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
    /// What a server answers on its control socket.
    case control
    /// Registry properties of a driver's process.
    case properties

    func run(_ bytes: [UInt8]) {
        switch self {
        case .metadata: Self.metadata(bytes)
        case .nbd: Self.nbd(bytes)
        case .job: Self.job(bytes)
        case .profile: Self.profile(bytes)
        case .uri: _ = LinkedMember.uri(in: bytes)
        case .control: Self.control(bytes)
        case .properties: Self.properties(bytes)
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
            case .needsMore: handshake.output = []
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
                    let isValid = header.validate(for: export, isStructured: isStructured) == .none
                    precondition(!isValid || header.byteOffset + UInt64(header.byteCount) <= export.byteCount)
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
        let text = String(decoding: bytes, as: UTF8.self)
        guard let json = JSONParser.parse(text), let snapshot = StatisticsSnapshot(json: json) else { return }
        let since = snapshot.since(StatisticsSnapshot(json: snapshot.json) ?? snapshot)
        for export in snapshot.exports + since.exports {
            for fraction in [0.5, 0.99, 1] { _ = export.total.latency.percentile(fraction) }
        }
        precondition(JSONParser.parse(since.json.text) != nil)
    }

    private static func properties(_ bytes: [UInt8]) {
        guard let dictionary = PropertyCoder.decode(bytes) else { return }
        precondition(PropertyCoder.decode(PropertyCoder.encode(dictionary)) == dictionary)
    }
}
