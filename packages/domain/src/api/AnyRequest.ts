/** What can become of any request, whatever it asks for: it is malformed, too much, too late, or meets a defect. */
import { HttpApiMiddleware } from "effect/http-api"
import { InternalError } from "../CommandErrors.ts"
import { RateLimited, RequestInvalid } from "../RequestErrors.ts"
import {
  BodyTooLarge,
  LengthRequired,
  ProxyBypassed,
  RequestTimedOut,
  ServerDraining,
  ServerOverloaded
} from "../ServerErrors.ts"
import { problems } from "./Problem.ts"

/** On every endpoint. */
export class AnyRequest extends HttpApiMiddleware.Service<AnyRequest>()(
  "@mosaic-federation/domain/api/AnyRequest",
  {
    error: problems([
      RequestInvalid,
      BodyTooLarge,
      LengthRequired,
      ProxyBypassed,
      RateLimited,
      RequestTimedOut,
      ServerOverloaded,
      ServerDraining,
      InternalError
    ])
  }
) {}
