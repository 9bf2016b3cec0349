import MemberIO
import Members
import Platform

/// A lane's channel to a remote member: commands go to the member's thread, and outcomes come back in an outbox.
final class RemoteChannel: MemberChannel {
    private let link: RemoteLink
    private let outbox: RemoteOutbox

    init(link: RemoteLink) throws(OSError) {
        self.link = link
        outbox = try RemoteOutbox()
    }

    var readiness: ChannelReadiness? { ChannelReadiness(descriptor: outbox.descriptor, waitsToSend: false) }

    func start(_ ios: UnsafeBufferPointer<MemberIO>) {
        guard !link.submit(ios, for: outbox) else { return }
        for io in ios {
            _ = outbox.add(MemberCompletion(token: io.token, place: io.place, status: .failed))
        }
        outbox.wakeLane()
    }

    func reap(into completions: inout [MemberCompletion]) { outbox.take(into: &completions) }
}
