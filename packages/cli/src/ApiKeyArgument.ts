import { ApiKeyId } from "@mosaic-federation/domain/ApiKey"
import * as Argument from "effect/cli/Argument"

export const apiKeyArgument = Argument.String("key").pipe(
  Argument.withSchema(ApiKeyId),
  Argument.withDescription("The key's id, as key list shows it: 16 hex digits")
)
