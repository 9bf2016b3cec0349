import MemberIO
import Members

/// A member that both control-plane code and lanes can work on.
package protocol PlacedMember: MemberStore {
    /// Where lanes find the member.
    var place: MemberPlace { get }
    /// Why the member is not there at all, in words that fit after "it is"; nil when it is there.
    var absence: String? { get }
    /// The file in the array's directory that is the member or leads to it.
    var path: String { get }
    /// How a member that was there is gone; nil while it is there. Does not wait for the member.
    var loss: MemberLoss? { get }
    /// The member with a new connection, when it was lost and answers again; nil otherwise, and on the next call.
    func reconnected() -> (any PlacedMember)?
    /// The record of the member's outage while it is waited for; nil for a member that is never waited for.
    var outage: MemberOutage? { get }
}

extension PlacedMember {
    package var absence: String? { nil }
    package var path: String { name }
    package var loss: MemberLoss? { nil }
    package var outage: MemberOutage? { nil }
    package func reconnected() -> (any PlacedMember)? { nil }
}
