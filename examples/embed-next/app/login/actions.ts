"use server";

import { cookies } from "next/headers";

/** Where a real site asks its identity provider. */
export async function login() {
  const token = process.env.KITFOX_TOKEN;
  if (!token) throw new Error("KITFOX_TOKEN is not set: the README says how");
  (await cookies()).set("token", token, {
    httpOnly: true,
    sameSite: "lax",
    secure: process.env.KITFOX_SECURE_COOKIES === "1",
    path: "/",
    maxAge: 8 * 60 * 60,
  });
}

export async function logout() {
  (await cookies()).delete("token");
}
